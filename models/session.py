"""One connection to PostgreSQL: how it begins, whether it lives, how it is given up."""

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq.abc import PGconn

Session = AsyncConnection[Any]

_CONNECT_LIMIT = 2  # seconds; libpq takes no less
_CANCEL_LIMIT = 2.0  # seconds

OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "client_encoding": "UTF8",
    "connect_timeout": _CONNECT_LIMIT,
    "target_session_attrs": "read-write",  # not the primary of yesterday
    "fallback_application_name": "todo-api",
    # So that a connection that died in silence ends in some seconds, not hours.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What is asked of every connection, besides what the URL says."""


async def knock(url: str) -> str | None:
    """Connect for a moment, to see whether somebody opens.

    Returns None if so, and otherwise the reason, which never has the password in it.
    """
    try:
        async with asyncio.timeout(_CONNECT_LIMIT):
            session = await Session.connect(url, **OPTIONS)
    except psycopg.ProgrammingError:  # a bad URL, of which libpq's text may quote a part
        return "the URL cannot be read"
    except (psycopg.OperationalError, TimeoutError) as error:
        return " ".join(str(error).split()) or f"no answer in {_CONNECT_LIMIT} s"
    await session.close()
    return None


async def enter_pipeline_mode(session: Session) -> None:
    """Get a new connection ready for round trips."""
    session.pgconn.enter_pipeline_mode()


def lives(pgconn: PGconn) -> bool:
    """Tell whether a connection that has been idle is still there, without a round trip."""
    try:
        pgconn.consume_input()  # the server's last words, if any …
        pgconn.consume_input()  # … and then its end
    except psycopg.OperationalError:
        return False
    return True


async def abandon(session: Session) -> None:
    """Close a connection, and first stop what the server may still do for it.

    That may come too early to stop anything; then the statement timeout does.
    """
    if not session.closed:
        with suppress(psycopg.Error):
            await session.cancel_safe(timeout=_CANCEL_LIMIT)
    await session.close()
