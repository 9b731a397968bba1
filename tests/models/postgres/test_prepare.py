"""What is prepared on a new connection, and where nothing may be."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg.pq import ExecStatus

from harness.cluster import Cluster
from harness.waiting import time_limit
from models.postgres.connect import connect
from models.postgres.connection import Batch, Connection
from models.postgres.identity import set_identity
from models.postgres.prepare import prepare
from models.postgres.statements import Query, Statement

pytestmark = pytest.mark.anyio

COUNT = Statement(b"SELECT count(*) FROM todo.tasks", (), writes=False, name="count")
NAMES = Query(b"SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements", ())


@pytest.fixture
async def connection(cluster: Cluster) -> AsyncIterator[Connection]:
    raw = await connect(cluster.app)
    connection = Connection(raw, read_timeout=1000, on_lost=lambda *_: None)
    async with time_limit():
        yield connection
    connection.close("the end of a test")


async def value(connection: Connection, *queries: Query) -> bytes | None:
    """Run queries in one transaction, and return the one value of the last."""
    batch = Batch(queries, asyncio.get_running_loop().create_future())
    connection.send(batch)
    result = (await batch.future)[-1]
    assert result.status == ExecStatus.TUPLES_OK, result.get_error_message()
    return result.get_value(0, 0)


async def test_statements_are_prepared_under_their_names(connection: Connection) -> None:
    await prepare(connection, [COUNT])
    assert connection.prepared == {b"set_identity", b"count"}
    assert await value(connection, NAMES) == b"count set_identity"
    identity = set_identity("nobody", writes=False, statement_timeout=2)
    assert await value(connection, *identity, COUNT.bind({})) == b"0"


async def test_one_plan_of_a_prepared_statement_serves_all_users(
    connection: Connection,
) -> None:
    await prepare(connection, [COUNT])
    assert await value(connection, Query(b"SHOW plan_cache_mode", ())) == b"force_generic_plan"


async def test_without_statements_nothing_is_prepared_or_planned_generically(
    connection: Connection,
) -> None:
    await prepare(connection, [])
    assert connection.prepared == frozenset()
    assert await value(connection, NAMES) is None
    assert await value(connection, Query(b"SHOW plan_cache_mode", ())) == b"auto"


async def test_postgresql_looks_for_its_client_while_it_runs_a_statement(
    connection: Connection,
) -> None:
    await prepare(connection, [])
    interval = Query(b"SHOW client_connection_check_interval", ())
    assert await value(connection, interval) == b"1s"


async def test_behind_a_pooler_nothing_is_prepared_or_set(connection: Connection) -> None:
    connection.pid += 1  # as reported by a pooler, which invents it
    await prepare(connection, [COUNT])
    assert connection.prepared == frozenset()
    assert await value(connection, NAMES) is None
    assert await value(connection, Query(b"SHOW plan_cache_mode", ())) == b"auto"
    interval = Query(b"SHOW client_connection_check_interval", ())
    assert await value(connection, interval) == b"0"


async def test_without_its_tables_a_connection_works_unprepared(
    connection: Connection,
) -> None:
    missing = Statement(b"SELECT * FROM todo.missing", (), writes=False, name="missing")
    await prepare(connection, [COUNT, missing])
    assert connection.prepared == frozenset()
    identity = set_identity("nobody", writes=False, statement_timeout=2)
    assert await value(connection, *identity, COUNT.bind({})) == b"0"


async def test_preparing_leaves_no_identity_behind(connection: Connection) -> None:
    await prepare(connection, [COUNT])
    assert await value(connection, Query(b"SELECT current_user", ())) == b"todo_login"
