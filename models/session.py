"""How a connection to PostgreSQL begins, whoever keeps it."""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection

Session = AsyncConnection[Any]

_CONNECT_LIMIT = 2  # seconds for each server that the URL names; libpq takes no less
_LIMIT = 10.0  # seconds for all of them

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


class Refused(Exception):
    """There is no connection; the text says why, and never has the password in it."""

    def __init__(self, reason: str = "the URL cannot be read") -> None:
        """Tell the reason."""
        super().__init__(reason)


async def connect(url: str) -> Session:
    """Open a connection, in libpq's pipeline mode. Raises Refused."""
    try:
        async with asyncio.timeout(_LIMIT):
            session = await Session.connect(url, **OPTIONS)
    except psycopg.ProgrammingError:  # a bad URL, of which libpq's text may quote a part
        raise Refused from None
    except (psycopg.OperationalError, TimeoutError) as error:
        raise Refused(" ".join(str(error).split()) or f"no answer in {_LIMIT} s") from None
    session.pgconn.enter_pipeline_mode()
    return session
