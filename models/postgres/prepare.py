"""Preparing the hot statements on a new connection."""

import asyncio
from collections.abc import Sequence

from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from models.postgres.connection import Batch, Connection
from models.postgres.identity import SET_IDENTITY, set_identity
from models.postgres.statements import Query, Statement

_BACKEND_PID = Query(b"SELECT pg_backend_pid()", ())
_GENERIC_PLAN = Query(b"SET plan_cache_mode = force_generic_plan", ())
# So that PostgreSQL stops a statement whose client is gone; not supported on every platform.
_CHECK_CLIENT = Query(b"SET client_connection_check_interval = '1s'", ())


async def prepare(connection: Connection, statements: Sequence[Statement]) -> None:
    """Prepare these statements if any, and `SET_IDENTITY`, on a connection.

    Raises Unavailable. Does nothing behind a pooler, where the next transaction may run on
    another server connection, and another client may get this one. A pooler invents the
    process id that it reports to its clients.
    """
    (pid,) = await _run(connection, _BACKEND_PID)
    if pid.get_value(0, 0) != str(connection.pid).encode():
        return
    await _run(connection, _CHECK_CLIENT)
    if not statements:
        return
    results = await _run(
        connection,
        # The user changes the rows of a statement, not its plan, so one plan serves all.
        _GENERIC_PLAN,
        SET_IDENTITY.prepare(),
        # Parsed as the role that will run them: the login itself has no privileges.
        *set_identity("", writes=False, statement_timeout=2),
        *(statement.prepare() for statement in statements),
    )
    # Before its first migration, a database has neither the role nor the tables.
    if all(result.status != ExecStatus.FATAL_ERROR for result in results):
        prepared = (SET_IDENTITY, *statements)
        connection.prepared = frozenset(statement.encoded_name for statement in prepared)


async def _run(connection: Connection, *queries: Query) -> list[PGresult]:
    batch = Batch(queries, asyncio.get_running_loop().create_future())
    connection.send(batch)
    return await batch.future
