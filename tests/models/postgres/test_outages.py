"""Outages of the database: no request hangs, and the pool reconnects by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import Cluster, new_user_id, open_database, running_cluster
from harness.proxy import Proxy, running_proxy
from harness.waiting import poll_until, time_limit
from models.errors import NotConnected, OutcomeUnknown, Unavailable
from models.postgres.database import Database
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

Request = asyncio.Task[list[tuple[Any, ...]]]

WHO = Statement(b"SELECT current_setting('app.user_id')", (), writes=False)
SLEEP = Statement(b"SELECT pg_sleep(1000)", (), writes=False)
SLEEPING_WRITE = Statement(b"SELECT pg_sleep(1000)", (), writes=True)
LONG_TIMEOUTS = {"queue_timeout": 1000, "statement_timeout": 1000}
"""Timeouts longer than `time_limit`, so they end no request in these tests."""


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[Proxy]:
    """Run a proxy to the shared database."""
    async with running_proxy(cluster.port) as proxy:
        yield proxy


async def serves(database: Database) -> bool:
    user = new_user_id()
    try:
        return await database.fetch(user, WHO, {}) == [(user.encode(),)]
    except Unavailable:
        return False


async def serves_many(database: Database) -> bool:
    return all(await asyncio.gather(*(serves(database) for _ in range(50))))


async def assert_all_fail(
    requests: list[Request], error: type[Unavailable] = Unavailable
) -> None:
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {error}


async def start_sleeping(
    cluster: Cluster, database: Database, count: int, statement: Statement = SLEEP
) -> list[Request]:
    """Start `count` requests that sleep in the database, each on its own connection."""

    async def are_idle() -> bool:
        return database.pool_stats.size >= count and database.pool_stats.in_flight == 0

    await poll_until(are_idle)
    requests = [asyncio.create_task(database.fetch("x", statement, {})) for _ in range(count)]
    await poll_until(lambda: are_sleeping(cluster, count))
    return requests


async def are_sleeping(cluster: Cluster, count: int) -> bool:
    question = """SELECT count(*) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND datname = current_database()"""
    return bool(cluster.scalar(question) == count)


async def start_queued(database: Database, count: int) -> list[Request]:
    """Start `count` requests that wait for a connection."""
    requests = [asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(count)]
    await asyncio.sleep(0.05)
    return requests


def end_sessions(cluster: Cluster, state: str = "%") -> None:
    cluster.scalar(f"""SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
        WHERE usename = 'todo_login' AND datname = current_database()
        AND state LIKE '{state}'""")


async def test_lost_idle_connections_fail_no_request(scratch_db: Cluster) -> None:
    async with open_database(scratch_db.app, **LONG_TIMEOUTS) as database, time_limit():
        for _ in range(5):
            assert await serves_many(database)
            end_sessions(scratch_db)
            await asyncio.sleep(0.2)  # for the news to arrive
            assert await serves(database)


async def test_only_the_request_on_a_lost_connection_fails(scratch_db: Cluster) -> None:
    async with open_database(scratch_db.app, **LONG_TIMEOUTS) as database, time_limit():
        requests = await start_sleeping(scratch_db, database, 1)
        end_sessions(scratch_db, "active")
        await assert_all_fail(requests)
        for _ in range(20):
            assert await serves_many(database)


async def test_the_outcome_of_a_write_on_a_lost_connection_is_unknown(
    scratch_db: Cluster,
) -> None:
    async with (
        open_database(scratch_db.app, pool_size=2, **LONG_TIMEOUTS) as database,
        time_limit(),
    ):
        reads = await start_sleeping(scratch_db, database, 1)
        writes = [asyncio.create_task(database.fetch("x", SLEEPING_WRITE, {}))]
        await poll_until(lambda: are_sleeping(scratch_db, 2))
        end_sessions(scratch_db, "active")
        await assert_all_fail(reads, Unavailable)
        await assert_all_fail(writes, OutcomeUnknown)
        await poll_until(lambda: serves(database))


async def test_the_outcome_of_a_write_without_a_response_is_unknown(
    proxy: Proxy, cluster: Cluster
) -> None:
    limits = {"pool_size": 1, "statement_timeout": 0.5, "queue_timeout": 1000}
    async with (
        open_database(cluster.with_params(port=proxy.port).app, **limits) as database,
        time_limit(),
    ):
        assert await serves(database)
        proxy.pause()
        write = asyncio.create_task(database.fetch("x", SLEEPING_WRITE, {}))
        await assert_all_fail([write], OutcomeUnknown)
        proxy.resume()
        await poll_until(lambda: serves(database))


async def test_a_write_that_was_not_sent_has_not_happened(
    proxy: Proxy, cluster: Cluster
) -> None:
    async with (
        open_database(cluster.with_params(port=proxy.port).app, **LONG_TIMEOUTS) as database,
        time_limit(),
    ):
        await proxy.disconnect()
        await poll_until(lambda: fails(database))
        requests = [
            asyncio.create_task(database.fetch("x", SLEEPING_WRITE, {})) for _ in range(5)
        ]
        await assert_all_fail(requests, Unavailable)


async def test_a_write_that_takes_too_long_has_not_happened(cluster: Cluster) -> None:
    async with open_database(cluster.app, statement_timeout=0.2) as database, time_limit():
        write = asyncio.create_task(database.fetch("x", SLEEPING_WRITE, {}))
        await assert_all_fail([write], Unavailable)


async def test_a_connection_with_a_protocol_error_is_replaced(
    scratch_db: Cluster, proxy: Proxy
) -> None:
    # In this order, the proxy is stopped first. With a login that it holds up, dropping the
    # database would wait for authentication_timeout, a minute.
    async with (
        open_database(scratch_db.with_params(port=proxy.port).app, **LONG_TIMEOUTS) as database,
        time_limit(),
    ):
        requests = await start_sleeping(scratch_db, database, 1)
        proxy.send_invalid_message()
        await assert_all_fail(requests)
        await poll_until(lambda: serves(database))


async def test_queued_requests_survive_a_lost_connection(
    scratch_db: Cluster,
) -> None:
    async with (
        open_database(scratch_db.app, pool_size=1, **LONG_TIMEOUTS) as database,
        time_limit(),
    ):
        requests = await start_sleeping(scratch_db, database, 1)
        waiting = await start_queued(database, 5)
        end_sessions(scratch_db)
        await assert_all_fail(requests)
        assert await asyncio.gather(*waiting) == 5 * [[(b"x",)]]


async def test_requests_succeed_again_after_a_database_restart(tmp_path: Path) -> None:
    server = ExitStack()
    cluster = server.enter_context(running_cluster(tmp_path))
    cluster.migrate()
    async with (
        time_limit(),
        running_proxy(cluster.port) as proxy,
        open_database(cluster.with_params(port=proxy.port).app, **LONG_TIMEOUTS) as database,
    ):
        for _ in range(2):
            requests = await start_sleeping(cluster, database, 3)
            requests += await start_queued(database, 9)
            proxy.target = 1  # a port that is closed
            await asyncio.to_thread(server.close)
            await assert_all_fail(requests)
            assert not await database.ready()
            for _ in range(20):
                assert not await serves(database)
            cluster = await asyncio.to_thread(server.enter_context, running_cluster(tmp_path))
            proxy.target = cluster.port
            await poll_until(lambda: serves(database))
            assert await serves_many(database)
            await poll_until(database.ready)
    server.close()


async def test_requests_succeed_again_after_a_crash(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        cluster.migrate()
        async with open_database(cluster.app, **LONG_TIMEOUTS) as database, time_limit():
            requests = await start_sleeping(cluster, database, 3)
            sleeper = cluster.scalar(
                "SELECT min(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            )
            os.kill(sleeper, signal.SIGKILL)  # PostgreSQL terminates all sessions and restarts
            await assert_all_fail(requests)
            await poll_until(lambda: serves(database))
            assert await serves_many(database)


async def test_requests_fail_while_the_network_is_unresponsive_and_succeed_later(
    proxy: Proxy, cluster: Cluster
) -> None:
    limits = {"statement_timeout": 0.5, "queue_timeout": 1000}
    async with (
        open_database(cluster.with_params(port=proxy.port).app, **limits) as database,
        time_limit(),
    ):
        assert await serves_many(database)
        proxy.pause()
        await assert_all_fail(await start_queued(database, 10))
        assert not await database.ready()
        for _ in range(20):
            assert not await serves(database)
        proxy.resume()
        await poll_until(lambda: serves(database))
        assert await serves_many(database)


async def test_requests_fail_immediately_while_the_database_is_down(
    proxy: Proxy, cluster: Cluster
) -> None:
    async with (
        open_database(cluster.with_params(port=proxy.port).app, **LONG_TIMEOUTS) as database,
        time_limit(),
    ):
        await proxy.disconnect()
        await poll_until(lambda: fails(database))
        for _ in range(1000):
            assert not await serves(database)
        await proxy.listen()
        await poll_until(lambda: serves(database))


async def fails(database: Database) -> bool:
    return not await serves(database)


async def test_fewer_connections_than_configured_still_serve_requests(
    scratch_db: Cluster,
) -> None:
    scratch_db.execute("ALTER ROLE todo_login CONNECTION LIMIT 2")
    try:
        async with (
            open_database(scratch_db.app, pool_size=5, **LONG_TIMEOUTS) as database,
            time_limit(),
        ):
            for _ in range(5):
                assert await serves_many(database)
    finally:
        scratch_db.execute("ALTER ROLE todo_login CONNECTION LIMIT -1")


async def test_the_pool_recovers_from_a_connection_limit_of_zero(
    scratch_db: Cluster,
) -> None:
    async with open_database(scratch_db.app, **LONG_TIMEOUTS) as database, time_limit():
        scratch_db.execute("ALTER ROLE todo_login CONNECTION LIMIT 0")
        try:
            end_sessions(scratch_db)
            await poll_until(lambda: fails(database))
        finally:
            scratch_db.execute("ALTER ROLE todo_login CONNECTION LIMIT -1")
        await poll_until(lambda: serves_many(database))


async def test_open_waits_until_the_database_accepts_connections(
    proxy: Proxy, cluster: Cluster
) -> None:
    await proxy.disconnect()
    url = cluster.with_params(port=proxy.port).app
    database = Database(url, pool_size=1, queue_size=1, queue_timeout=1, statement_timeout=1)
    async with time_limit():
        opening = asyncio.create_task(database.open(connect_timeout=1000))
        await asyncio.sleep(0.1)
        assert not await database.ready()
        await proxy.listen()
        await opening
        assert await serves(database)
        await database.close()


@pytest.mark.parametrize(
    ("change", "server", "reason"),
    [
        ({"port": 1}, "todo at 127.0.0.1:1 as todo_login", "Connection refused"),
        (
            {"host": "127.0.0.1,127.0.0.1", "port": "1,2"},
            "todo at 127.0.0.1:1, 127.0.0.1:2 as todo_login",
            "Connection refused",
        ),
        ({"password": "wr0ng"}, "todo_login", "password authentication failed"),
        ({"dbname": "nowhere"}, "nowhere at", 'database "nowhere" does not exist'),
        ({"host": "nowhere.invalid"}, "at nowhere.invalid:", "resolve"),
    ],
)
async def test_a_failed_open_names_the_server_and_the_reason(
    change: dict[str, Any], server: str, reason: str, cluster: Cluster
) -> None:
    url = cluster.with_params(**change).app
    with pytest.raises(NotConnected) as failure:
        await open_unreachable(url)
    assert server in str(failure.value)
    assert reason in str(failure.value)
    assert "wr0ng" not in str(failure.value)


@pytest.mark.parametrize("url", ["postgresql://me:s3cr%zz@db/todo", "s3cr", "host=db s3cr"])
async def test_an_invalid_url_is_not_quoted(url: str) -> None:
    with pytest.raises(NotConnected, match="cannot be read") as failure:
        await open_unreachable(url)
    assert "s3cr" not in str(failure.value)


async def open_unreachable(url: str) -> None:
    database = Database(url, pool_size=1, queue_size=1, queue_timeout=1, statement_timeout=1)
    await database.open(connect_timeout=0)
