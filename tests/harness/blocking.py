"""Requests that PostgreSQL does not finish before a test allows it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from harness.cluster import Cluster
from harness.waiting import poll_until
from models.postgres.database import Database
from models.postgres.statements import Statement

Request = asyncio.Task[list[tuple[Any, ...]]]

LOCK = Statement(b"SELECT pg_advisory_xact_lock_shared($1::int8)::text", ("key",), writes=False)
LOCKED = [(b"",)]
"""The rows of a blocked request, once it is finished."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""

    async def holds() -> object:
        return condition()

    await poll_until(holds)


@asynccontextmanager
async def blocked_request(
    database: Database, cluster: Cluster, user: str = "blocked", statement: Statement = LOCK
) -> AsyncIterator[Request]:
    """Start a request that waits for a lock in PostgreSQL until the context exits."""
    key = secrets.randbelow(2**31)
    waiting = f"SELECT count(*) FROM pg_locks WHERE objid = {key} AND NOT granted"
    with psycopg.connect(cluster.superuser) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s::int8)", [key])
        request = asyncio.create_task(database.fetch(user, statement, {"key": key}))
        await until(lambda: cluster.scalar(waiting) == 1)
        yield request
        connection.rollback()
