"""A connection that has reached its lifetime is replaced, then closed when it is idle."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from harness.blocking import LOCKED, blocked_request, until
from harness.cluster import Cluster, open_database
from harness.waiting import poll_until, time_limit
from models.errors import Unavailable
from models.postgres import pool, reconnector
from models.postgres.connect import ConnectError
from models.postgres.database import Database
from models.postgres.pool_stats import PoolStats
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

PID = Statement(b"SELECT pg_backend_pid()", (), writes=False)
LIFETIME = 1000.0


class Clock:
    """The monotonic clock, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def expire(self) -> None:
        """Let every connection that is open now reach its lifetime."""
        self.ahead += LIFETIME


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reconnector, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(reconnector, "_CHECK_INTERVAL", 0.01)
    return clock


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.app


async def pid(database: Database) -> bytes:
    ((pid,),) = await database.fetch("x", PID, {})
    return bytes(pid)


async def pids(database: Database, count: int) -> set[bytes]:
    return set(await asyncio.gather(*(pid(database) for _ in range(count))))


async def test_expired_connections_are_replaced_and_closed(
    url: str, clock: Clock, cluster: Cluster
) -> None:
    async with open_database(url, pool_size=3, max_lifetime=LIFETIME) as database, time_limit():
        before = await pids(database, 30)
        assert len(before) == 3
        clock.expire()
        sessions = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({_list(before)})"
        await until(lambda: cluster.scalar(sessions) == 0)
        assert database.pool_stats == PoolStats(size=3, in_flight=0, queued=0)
        assert not before & await pids(database, 30)


def _list(pids: set[bytes]) -> str:
    return b",".join(pids).decode()


async def test_connections_are_kept_for_at_least_nine_tenths_of_their_lifetime(
    url: str, clock: Clock
) -> None:
    async with open_database(url, pool_size=2, max_lifetime=LIFETIME) as database, time_limit():
        before = await pids(database, 20)
        clock.ahead = 0.89 * LIFETIME
        await asyncio.sleep(0.1)  # ten checks
        assert await pids(database, 20) == before


async def test_connections_opened_together_do_not_expire_together(
    url: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    asked: list[tuple[float, float]] = []
    fractions = iter((0.9, 1.0))

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return next(fractions, 1.0)

    monkeypatch.setattr(reconnector, "random", SimpleNamespace(uniform=uniform))
    async with open_database(url, pool_size=2, max_lifetime=LIFETIME) as database, time_limit():
        assert asked == 2 * [(0.9, 1)]
        before = await pids(database, 20)
        clock.ahead = 0.95 * LIFETIME
        await until(lambda: len(asked) == 3)
        await until(lambda: database.pool_stats.size == 2)
        assert len(before & await pids(database, 20)) == 1


async def test_no_request_fails_or_waits_while_its_connection_is_replaced(url: str) -> None:
    # Every connection is replaced at once, again and again.
    async with open_database(url, pool_size=2, max_lifetime=1e-9) as database, time_limit():
        seen: set[bytes] = set()
        while len(seen) < 20:
            assert database.pool_stats.size >= 2
            seen |= await pids(database, 10)


async def test_a_request_in_flight_finishes_on_a_retired_connection(
    url: str, cluster: Cluster, clock: Clock
) -> None:
    async with open_database(url, pool_size=1, max_lifetime=LIFETIME) as database, time_limit():
        async with blocked_request(database, cluster) as blocked:
            clock.expire()
            await until(lambda: database.pool_stats.size == 2)
            assert database.pool_stats.in_flight == 1
        assert await blocked == LOCKED
        await until(lambda: database.pool_stats == PoolStats(size=1, in_flight=0, queued=0))
        await pid(database)


async def test_nothing_is_sent_over_a_retired_connection(
    url: str, cluster: Cluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_FAST", 1000.0)  # so that a batch may follow the blocked one
    async with open_database(url, pool_size=1, max_lifetime=LIFETIME) as database, time_limit():
        old = await pid(database)
        async with blocked_request(database, cluster) as blocked:
            clock.expire()
            await until(lambda: database.pool_stats.size == 2)
            for _ in range(3):
                (new,) = await pids(database, 8)
                assert new != old
            # Not even when it has finished a batch and others are queued.
            requests = [asyncio.create_task(pid(database)) for _ in range(20)]
            await asyncio.sleep(0)
            assert database.pool_stats.queued
        assert {*await asyncio.gather(*requests)} == {new}
        assert await blocked == LOCKED


async def test_the_queue_is_served_by_the_replacement_of_a_blocked_connection(
    url: str, cluster: Cluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_FAST", -1000.0)
    async with (
        open_database(url, pool_size=1, max_lifetime=LIFETIME) as database,
        time_limit(),
        blocked_request(database, cluster),
    ):
        queued = asyncio.create_task(pid(database))
        await asyncio.sleep(0)
        assert database.pool_stats.queued == 1
        clock.expire()
        await queued


async def test_an_expired_connection_is_used_until_it_can_be_replaced(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def refused(_url: str) -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectError

    async with open_database(url, pool_size=1, max_lifetime=LIFETIME) as database, time_limit():
        before = await pid(database)
        with monkeypatch.context() as patch:
            patch.setattr(reconnector, "connect", refused)
            clock.expire()
            await until(lambda: attempts >= 2)
            assert await pid(database) == before

        async def replaced() -> bool:
            return await pid(database) != before

        await poll_until(replaced)


async def test_a_retired_connection_that_is_lost_fails_its_request_and_is_not_replaced(
    url: str, cluster: Cluster, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(url, pool_size=1, max_lifetime=LIFETIME) as database, time_limit():
        old = await pid(database)
        async with blocked_request(database, cluster) as blocked:
            clock.expire()
            await until(lambda: database.pool_stats.size == 2)
            new = await pid(database)
            cluster.scalar(f"SELECT pg_terminate_backend({old.decode()})")
            with pytest.raises(Unavailable):
                await blocked
            assert database.pool_stats == PoolStats(size=1, in_flight=0, queued=0)
        await asyncio.sleep(0.05)
        assert await pid(database) == new
    assert caplog.messages == []


async def test_a_cancelled_request_ends_on_a_retired_connection_too(
    url: str, cluster: Cluster, clock: Clock
) -> None:
    async with (
        open_database(url, pool_size=1, max_lifetime=LIFETIME) as database,
        time_limit(),
        blocked_request(database, cluster) as blocked,
    ):
        clock.expire()
        await until(lambda: database.pool_stats.size == 2)
        blocked.cancel()
        await asyncio.wait([blocked])
        assert database.pool_stats == PoolStats(size=1, in_flight=0, queued=0)


async def test_closing_waits_for_requests_on_retired_connections(
    url: str, cluster: Cluster, clock: Clock
) -> None:
    async with open_database(url, pool_size=1, max_lifetime=LIFETIME) as database, time_limit():
        async with blocked_request(database, cluster) as blocked:
            clock.expire()
            await until(lambda: database.pool_stats.size == 2)
            closing = asyncio.create_task(database.close(drain_timeout=1000))
            await asyncio.sleep(0.05)
            assert not closing.done()
        await closing
        assert await blocked == LOCKED


async def test_closing_ends_retired_connections_when_its_time_is_over(
    url: str, cluster: Cluster, clock: Clock
) -> None:
    async with (
        open_database(url, pool_size=1, max_lifetime=LIFETIME) as database,
        time_limit(),
        blocked_request(database, cluster) as blocked,
    ):
        clock.expire()
        await until(lambda: database.pool_stats.size == 2)
        await database.close(drain_timeout=0.01)
        with pytest.raises(Unavailable):
            await blocked
        assert database.pool_stats == PoolStats(size=0, in_flight=0, queued=0)
