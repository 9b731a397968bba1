"""Opening a connection to PostgreSQL."""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection

from models.postgres.encoding import encoding_problem

RawConnection = AsyncConnection[Any]

_CONNECT_TIMEOUT = 2  # seconds for each server in the URL, the least that libpq accepts
_TOTAL_TIMEOUT = 10.0  # seconds for all of them

OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "client_encoding": "UTF8",  # whatever the environment or the role's settings say
    "connect_timeout": _CONNECT_TIMEOUT,
    "target_session_attrs": "read-write",  # not a former primary
    "fallback_application_name": "todo-api",
    # A connection whose peer has disappeared ends within seconds, not hours.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""The options of every connection, in addition to those in the URL."""


class ConnectError(Exception):
    """Connecting failed; the text says why, and never contains the password."""

    def __init__(self, reason: str = "the URL cannot be read") -> None:
        """Keep the reason."""
        super().__init__(reason)


async def connect(url: str) -> RawConnection:
    """Open a connection in libpq's pipeline mode. Raises ConnectError."""
    try:
        async with asyncio.timeout(_TOTAL_TIMEOUT):
            raw = await RawConnection.connect(url, **OPTIONS)
    except psycopg.ProgrammingError:  # an invalid URL, which libpq's message may quote
        raise ConnectError from None
    except (psycopg.OperationalError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        raise ConnectError(reason or f"no response in {_TOTAL_TIMEOUT} s") from None
    if problem := encoding_problem(raw.info):
        await raw.close()
        raise ConnectError(problem)
    raw.pgconn.enter_pipeline_mode()
    return raw
