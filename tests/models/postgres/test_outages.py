"""The database goes away and comes back; nobody hangs, and nobody has to be told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import Cluster, opened, running, someone
from harness.proxy import Proxy, proxy
from harness.waiting import eventually, soon
from models.errors import NotConnected, Unavailable
from models.postgres.database import Database
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

Request = asyncio.Task[list[tuple[Any, ...]]]

WHO = Statement(b"SELECT current_setting('app.user_id')", (), writes=False)
SLEEP = Statement(b"SELECT pg_sleep(1000)", (), writes=False)
LONG = {"queue_timeout": 1000, "statement_timeout": 1000}
"""Limits that aren't what ends a request in these tests: `soon` would notice."""


@pytest.fixture
async def way(cluster: Cluster) -> AsyncIterator[Proxy]:
    """Lead a way to the common database that can be blocked."""
    async with proxy(cluster.port) as way:
        yield way


async def serves(database: Database) -> bool:
    user = someone()
    try:
        return await database.fetch(user, WHO, {}) == [(user.encode(),)]
    except Unavailable:
        return False


async def serves_many(database: Database) -> bool:
    return all(await asyncio.gather(*(serves(database) for _ in range(50))))


async def all_fail(requests: list[Request]) -> None:
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}


async def asleep(cluster: Cluster, database: Database, count: int) -> list[Request]:
    """Have so many requests asleep in the database, each on a connection of its own."""
    await eventually(lambda: connected(cluster, count))
    requests = [asyncio.create_task(database.fetch("x", SLEEP, {})) for _ in range(count)]

    async def sleep() -> bool:
        question = """SELECT count(*) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()"""
        return bool(cluster.ask(question) == count)

    await eventually(sleep)
    return requests


async def connected(cluster: Cluster, count: int) -> bool:
    """Tell whether so many connections are ready and idle."""
    idle = cluster.ask("""SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'todo_login' AND datname = current_database() AND state = 'idle'
        AND query !~ '^SET|pid'""")
    await asyncio.sleep(0.05)  # for the news to arrive
    return bool(idle >= count)


async def queued(database: Database, count: int) -> list[Request]:
    """Have so many requests wait for a connection."""
    requests = [asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(count)]
    await asyncio.sleep(0.05)
    return requests


def end_sessions(cluster: Cluster, state: str = "%") -> None:
    cluster.ask(f"""SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
        WHERE usename = 'todo_login' AND datname = current_database()
        AND state LIKE '{state}'""")


async def test_connections_that_ended_while_idle_cost_no_request(own: Cluster) -> None:
    async with opened(own.serving, **LONG) as database, soon():
        for _ in range(5):
            assert await serves_many(database)
            end_sessions(own)
            await asyncio.sleep(0.2)  # for the news to arrive
            assert await serves(database)


async def test_a_request_whose_connection_ends_fails_alone(own: Cluster) -> None:
    async with opened(own.serving, **LONG) as database, soon():
        requests = await asleep(own, database, 1)
        end_sessions(own, "active")
        await all_fail(requests)
        for _ in range(20):
            assert await serves_many(database)


async def test_a_connection_that_makes_no_sense_any_more_is_given_up(
    way: Proxy, own: Cluster
) -> None:
    async with opened(own.at(port=way.port).serving, **LONG) as database, soon():
        requests = await asleep(own, database, 1)
        way.babble()
        await all_fail(requests)
        await eventually(lambda: serves(database))


async def test_who_waits_for_a_connection_survives_the_end_of_another(own: Cluster) -> None:
    async with opened(own.serving, pool_size=1, **LONG) as database, soon():
        requests = await asleep(own, database, 1)
        waiting = await queued(database, 5)
        end_sessions(own)
        await all_fail(requests)
        assert await asyncio.gather(*waiting) == 5 * [[(b"x",)]]


async def test_a_database_that_stops_and_starts_again_is_found_again(tmp_path: Path) -> None:
    server = ExitStack()
    cluster = server.enter_context(running(tmp_path))
    cluster.migrate()
    async with (
        soon(),
        proxy(cluster.port) as way,
        opened(cluster.at(port=way.port).serving, **LONG) as database,
    ):
        for _ in range(2):
            requests = await asleep(cluster, database, 3)
            requests += await queued(database, 9)
            way.target = 1  # where nobody listens
            await asyncio.to_thread(server.close)
            await all_fail(requests)
            assert not await database.ready()
            for _ in range(20):
                assert not await serves(database)
            cluster = await asyncio.to_thread(server.enter_context, running(tmp_path))
            way.target = cluster.port
            await eventually(lambda: serves(database))
            assert await serves_many(database)
            await eventually(database.ready)
    server.close()


async def test_a_crash_is_recovered_from(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        cluster.migrate()
        async with opened(cluster.serving, **LONG) as database, soon():
            requests = await asleep(cluster, database, 3)
            sleeper = cluster.ask(
                "SELECT min(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            )
            os.kill(sleeper, signal.SIGKILL)  # PostgreSQL ends all sessions and starts anew
            await all_fail(requests)
            await eventually(lambda: serves(database))
            assert await serves_many(database)


async def test_when_nothing_is_heard_any_more_requests_end_and_later_succeed(
    way: Proxy, cluster: Cluster
) -> None:
    limits = {"statement_timeout": 0.5, "queue_timeout": 1000}
    async with opened(cluster.at(port=way.port).serving, **limits) as database, soon():
        assert await serves_many(database)
        way.silence()
        await all_fail(await queued(database, 10))
        assert not await database.ready()
        for _ in range(20):
            assert not await serves(database)
        way.resume()
        await eventually(lambda: serves(database))
        assert await serves_many(database)


async def test_who_asks_while_the_database_is_known_to_be_away_is_refused_at_once(
    way: Proxy, cluster: Cluster
) -> None:
    async with opened(cluster.at(port=way.port).serving, **LONG) as database, soon():
        await way.refuse()
        await eventually(lambda: refuses(database))
        for _ in range(1000):
            assert not await serves(database)
        await way.listen()
        await eventually(lambda: serves(database))


async def refuses(database: Database) -> bool:
    return not await serves(database)


async def test_fewer_connections_than_planned_serve_all_the_same(own: Cluster) -> None:
    own.command("ALTER ROLE todo_login CONNECTION LIMIT 2")
    try:
        async with opened(own.serving, pool_size=5, **LONG) as database, soon():
            for _ in range(5):
                assert await serves_many(database)
    finally:
        own.command("ALTER ROLE todo_login CONNECTION LIMIT -1")


async def test_a_limit_that_leaves_no_connection_is_an_outage_that_ends(own: Cluster) -> None:
    async with opened(own.serving, **LONG) as database, soon():
        own.command("ALTER ROLE todo_login CONNECTION LIMIT 0")
        try:
            end_sessions(own)
            await eventually(lambda: refuses(database))
        finally:
            own.command("ALTER ROLE todo_login CONNECTION LIMIT -1")
        await eventually(lambda: serves_many(database))


async def test_the_service_starts_when_the_database_does(way: Proxy, cluster: Cluster) -> None:
    await way.refuse()
    url = cluster.at(port=way.port).serving
    database = Database(url, pool_size=1, queue_size=1, queue_timeout=1, statement_timeout=1)
    async with soon():
        opening = asyncio.create_task(database.open(connect_timeout=1000))
        await asyncio.sleep(0.1)
        assert not await database.ready()
        await way.listen()
        await opening
        assert await serves(database)
        await database.close()


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        ({"port": 1}, "todo at 127.0.0.1:1 as todo_login", "Connection refused"),
        ({"password": "wr0ng"}, "todo_login", "password authentication failed"),
        ({"dbname": "nowhere"}, "nowhere at", 'database "nowhere" does not exist'),
        ({"host": "nowhere.invalid"}, "at nowhere.invalid:", "resolve"),
    ],
)
async def test_a_start_without_a_database_says_where_to_and_why_not(
    change: dict[str, Any], where: str, why: str, cluster: Cluster
) -> None:
    url = cluster.at(**change).serving
    with pytest.raises(NotConnected) as failure:
        await opened_in_vain(url)
    assert where in str(failure.value)
    assert why in str(failure.value)
    assert "wr0ng" not in str(failure.value)


@pytest.mark.parametrize("url", ["postgresql://me:s3cr%zz@db/todo", "s3cr", "host=db s3cr"])
async def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(NotConnected, match="cannot be read") as failure:
        await opened_in_vain(url)
    assert "s3cr" not in str(failure.value)


async def opened_in_vain(url: str) -> None:
    database = Database(url, pool_size=1, queue_size=1, queue_timeout=1, statement_timeout=1)
    await database.open(connect_timeout=0)
