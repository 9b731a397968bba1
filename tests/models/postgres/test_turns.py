"""Writes of one user take turns, so that they do not occupy connections that others need."""

import asyncio
from dataclasses import replace

import pytest

from harness.blocking import LOCK, LOCKED, Request, blocked_request, until
from harness.cluster import Cluster, new_user_id, open_database
from harness.waiting import time_limit
from models.errors import Unavailable
from models.postgres.database import Database
from models.postgres.pool_stats import PoolStats
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

WRITE = Statement(b"SELECT 1", (), writes=True)
READ = replace(WRITE, writes=False)
SLEEP = Statement(b"SELECT pg_sleep(1000)", (), writes=False)
BLOCKED_WRITE = replace(LOCK, writes=True)
ONE = [(b"1",)]


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.app


@pytest.fixture
def user() -> str:
    return new_user_id()


async def started(database: Database, user: str, count: int) -> list[Request]:
    """Start writes, each of which is sent or waits."""
    requests = [asyncio.create_task(database.fetch(user, WRITE, {})) for _ in range(count)]
    await asyncio.sleep(0)
    return requests


def no_batch_is_sent_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.postgres.pool._FAST", -1000.0)
    monkeypatch.setattr("models.postgres.pool._PIPELINE_DEPTH", 1)


async def test_one_write_of_a_user_is_sent_at_a_time(
    url: str, cluster: Cluster, user: str
) -> None:
    async with open_database(url, pool_size=3) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE) as first:
            others = await started(database, user, 5)
            await asyncio.sleep(0.05)
            assert database.pool_stats == PoolStats(size=3, in_flight=1, queued=5)
        assert await asyncio.gather(first, *others) == [LOCKED, *5 * [ONE]]
        assert database.pool_stats == PoolStats(size=3, in_flight=0, queued=0)
        assert database.pool_totals.queued == 5
        assert await database.fetch(user, WRITE, {}) == ONE


async def test_other_users_and_reads_do_not_wait_for_a_users_writes(
    url: str, cluster: Cluster, user: str
) -> None:
    async with open_database(url, pool_size=2) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            waiting = await started(database, user, 9)
            assert await database.fetch(new_user_id(), WRITE, {}) == ONE
            assert await database.fetch(user, READ, {}) == ONE
            assert await database.fetch(None, WRITE, {}) == ONE
            assert not any(request.done() for request in waiting)
        await asyncio.gather(*waiting)


async def test_a_write_that_is_cancelled_while_it_waits_is_not_sent(
    url: str, cluster: Cluster, user: str
) -> None:
    async with open_database(url, pool_size=2) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            cancelled, kept = await started(database, user, 2)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert database.pool_stats == PoolStats(size=2, in_flight=1, queued=1)
        assert await kept == ONE
        assert database.pool_totals.round_trips == 2


async def test_writes_that_are_all_cancelled_at_once_are_not_sent_one_after_the_other(
    url: str, cluster: Cluster, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(url, pool_size=2) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE) as first:
            requests = [first, *await started(database, user, 4)]
            for request in requests:
                request.cancel()
            await asyncio.wait(requests)
            assert caplog.messages == ["connection lost: its only request was cancelled"]
            assert database.pool_stats.queued == 0
        assert await database.fetch(user, WRITE, {}) == ONE


async def test_a_write_that_fails_ends_its_turn(url: str, cluster: Cluster, user: str) -> None:
    async with (
        open_database(url, pool_size=2) as database,
        time_limit(),
        blocked_request(database, cluster, user, BLOCKED_WRITE) as first,
    ):
        (second,) = await started(database, user, 1)
        first.cancel()
        assert await second == ONE


async def test_a_write_that_has_waited_too_long_for_its_turn_is_rejected(
    url: str, cluster: Cluster, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(url, pool_size=2, queue_timeout=0.2) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            for _ in range(2):  # the timer has to start again
                (waiting,) = await started(database, user, 1)
                await until(waiting.done)
                with pytest.raises(Unavailable):
                    await waiting
        assert await database.fetch(user, WRITE, {}) == ONE
        assert database.pool_totals.expired == 2
    assert caplog.messages == ["not sent within 0.2 s"]


async def test_writes_that_wait_for_their_turn_fill_the_queue(
    url: str, cluster: Cluster, user: str
) -> None:
    async with open_database(url, pool_size=3, queue_size=2) as database, time_limit():
        other = new_user_id()
        async with (
            blocked_request(database, cluster, user, BLOCKED_WRITE),
            blocked_request(database, cluster, other, BLOCKED_WRITE),
            blocked_request(database, cluster),
        ):
            waiting = [*await started(database, user, 1), *await started(database, other, 1)]
            with pytest.raises(Unavailable):
                await database.fetch(new_user_id(), READ, {})
            assert database.pool_totals.rejected == 1
        assert await asyncio.gather(*waiting) == 2 * [ONE]


async def test_the_writes_of_one_user_fill_no_more_than_a_tenth_of_the_queue(
    url: str,
    cluster: Cluster,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_batch_is_sent_behind_another(monkeypatch)
    async with open_database(url, pool_size=1, queue_size=20) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            *waiting, rejected = await started(database, user, 3)
            with pytest.raises(Unavailable):
                await rejected
            assert database.pool_totals.rejected == 1
            waiting += await started(database, new_user_id(), 3)
            assert not any(request.done() for request in waiting)
        assert await asyncio.gather(*waiting) == 5 * [ONE]
    assert caplog.messages == ["2 writes of one user wait for their turn"]


async def test_a_write_whose_turn_has_come_goes_before_requests_that_came_later(
    url: str, cluster: Cluster, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_batch_is_sent_behind_another(monkeypatch)
    finished: list[str] = []
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            (write,) = await started(database, user, 1)
            other = asyncio.create_task(database.fetch("other", READ, {}))
            third = asyncio.create_task(database.fetch("third", READ, {}))
            write.add_done_callback(lambda _: finished.append("write"))
            other.add_done_callback(lambda _: finished.append("other"))
            third.add_done_callback(lambda _: finished.append("third"))
            await asyncio.sleep(0)
        await asyncio.gather(write, other, third)
    # The connection took the first of the queue before the turn was passed on.
    assert finished == ["other", "write", "third"]


async def test_a_write_whose_turn_has_come_does_not_delay_the_timeout_of_older_requests(
    url: str, cluster: Cluster, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_batch_is_sent_behind_another(monkeypatch)
    async with open_database(url, pool_size=1, queue_timeout=0.6) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE):
            sleeping = asyncio.create_task(database.fetch("sleeping", SLEEP, {}))
            older = asyncio.create_task(database.fetch("older", READ, {}))
            await asyncio.sleep(0.3)
            (write,) = await started(database, user, 1)
        with pytest.raises(Unavailable):
            await older
        assert not write.done()
        with pytest.raises(Unavailable):
            await write
        assert not sleeping.done()
        sleeping.cancel()


async def test_closing_rejects_what_waits_for_its_turn(
    url: str, cluster: Cluster, user: str
) -> None:
    async with open_database(url, pool_size=2) as database, time_limit():
        async with blocked_request(database, cluster, user, BLOCKED_WRITE) as first:
            (waiting,) = await started(database, user, 1)
            closing = asyncio.create_task(database.close())
            with pytest.raises(Unavailable):
                await waiting
        assert await first == LOCKED
        await closing
