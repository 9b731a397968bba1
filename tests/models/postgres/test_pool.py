"""The pool: which connection a request is sent over, what is queued, and what is cancelled."""

import asyncio
import logging
from collections import Counter

import pytest

from harness.blocking import LOCKED, Request, blocked_request, until
from harness.cluster import Cluster, new_user_id, open_database
from harness.waiting import time_limit
from models.errors import Unavailable
from models.postgres.connection import Batch, Connection
from models.postgres.database import Database
from models.postgres.pool_stats import PoolStats, PoolTotals
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

ONE = Statement(b"SELECT 1", (), writes=False)
INSERT = Statement(
    b"INSERT INTO todo.users (id) VALUES ($1) RETURNING id", ("user_id",), writes=True
)
FAST, SLOW = 1000.0, -1000.0
"""Values of `_FAST` by which every batch in flight is fast, or none."""


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.app


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Connection, int]]:
    """Record each connection that a batch is sent over, and how many are then in flight."""
    sent: list[tuple[Connection, int]] = []
    send = Connection.send

    def recorded(connection: Connection, batch: Batch) -> None:
        send(connection, batch)
        sent.append((connection, len(connection.in_flight)))

    monkeypatch.setattr(Connection, "send", recorded)
    return sent


def batches_are(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.postgres.pool._FAST", speed)


async def started(database: Database, count: int) -> list[Request]:
    """Start requests, each of which is sent or queued."""
    requests = [asyncio.create_task(database.fetch("x", ONE, {})) for _ in range(count)]
    await asyncio.sleep(0)
    return requests


async def test_a_write_whose_client_is_gone_is_not_sent_from_the_queue(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    user = new_user_id()
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster):
            write = asyncio.create_task(database.fetch(user, INSERT, {}))
            await asyncio.sleep(0)
            assert database.pool_stats.queued == 1
            write.cancel()
            await asyncio.wait([write])
            assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=0)
        assert await database.fetch("x", ONE, {}) == [(b"1",)]  # behind what was queued
    assert write.cancelled()
    assert cluster.scalar(f"SELECT count(*) FROM todo.users WHERE id = '{user}'") == 0


async def test_a_request_that_is_cancelled_in_the_queue_makes_room_for_another(
    url: str,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1, queue_size=1) as database, time_limit():
        async with blocked_request(database, cluster):
            (cancelled,) = await started(database, 1)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            (queued,) = await started(database, 1)
            for rejected in await started(database, 3):
                with pytest.raises(Unavailable):
                    await rejected
        assert await queued == [(b"1",)]
    assert caplog.messages == ["the queue of 1 requests is full"]


async def test_four_batches_at_most_are_in_flight_on_one_connection(
    url: str,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[tuple[Connection, int]],
) -> None:
    batches_are(FAST, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        sent.clear()
        async with blocked_request(database, cluster):
            requests = await started(database, 7)
            assert database.pool_stats == PoolStats(size=1, in_flight=4, queued=4)
        await asyncio.gather(*requests)
        assert database.pool_stats == PoolStats(size=1, in_flight=0, queued=0)
    # The first four at once, then each time that one is done, the next.
    assert [in_flight for _, in_flight in sent] == [1, 2, 3, 4, 4, 4, 4, 4]


async def test_a_connection_that_was_slow_is_filled_from_the_queue(
    url: str,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[tuple[Connection, int]],
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster):
            requests = await started(database, 6)
            assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=6)
            sent.clear()
        assert await asyncio.gather(*requests) == 6 * [[(b"1",)]]
    assert [in_flight for _, in_flight in sent] == [1, 2, 3, 4, 4, 4]


async def test_a_new_request_does_not_overtake_those_in_the_queue(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster):
            queued = await started(database, 1)
            batches_are(FAST, monkeypatch)
            queued += await started(database, 1)
            assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=2)
        await asyncio.gather(*queued)


async def test_requests_are_spread_evenly_over_the_connections(
    url: str, monkeypatch: pytest.MonkeyPatch, sent: list[tuple[Connection, int]]
) -> None:
    batches_are(FAST, monkeypatch)
    async with open_database(url, pool_size=3) as database, time_limit():
        sent.clear()
        await asyncio.gather(*await started(database, 9))
    for first in (0, 3, 6):
        batch = sent[first : first + 3]
        assert len({connection for connection, _ in batch}) == 3
        assert {in_flight for _, in_flight in batch} == {1 + first // 3}


async def test_an_idle_connection_is_preferred_to_a_busy_one(
    url: str,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[tuple[Connection, int]],
) -> None:
    batches_are(FAST, monkeypatch)
    async with open_database(url, pool_size=2) as database, time_limit():
        sent.clear()
        async with blocked_request(database, cluster):
            for _ in range(5):
                await database.fetch("x", ONE, {})
    connections = Counter(connection for connection, _ in sent)
    assert sorted(connections.values()) == [1, 5]
    assert {in_flight for _, in_flight in sent} == {1}


async def test_a_cancelled_request_does_not_end_others_on_its_connection(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(FAST, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster) as blocked:
            cancelled, other = await started(database, 2)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert database.pool_stats == PoolStats(size=1, in_flight=3, queued=0)
        assert await blocked == LOCKED
        assert await other == [(b"1",)]


async def test_a_cancelled_request_ends_no_other_connection(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=2) as database, time_limit():
        async with (
            blocked_request(database, cluster) as first,
            blocked_request(database, cluster) as second,
        ):
            first.cancel()
            await asyncio.wait([first])
            assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=0)
        assert await second == LOCKED


async def test_closing_rejects_what_is_queued_and_finishes_what_is_sent(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        async with blocked_request(database, cluster) as blocked:
            queued = await started(database, 2)
            closing = asyncio.create_task(database.close(drain_timeout=1000))
            outcomes = await asyncio.gather(*queued, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
            assert not closing.done()
            with pytest.raises(Unavailable):
                await database.fetch("x", ONE, {})
        await closing
        assert await blocked == LOCKED


async def test_a_closed_pool_and_one_not_opened_yet_have_no_connections(url: str) -> None:
    nothing = PoolStats(size=0, in_flight=0, queued=0)
    async with open_database(url) as database, time_limit():
        assert database.pool_stats == PoolStats(size=3, in_flight=0, queued=0)
    assert database.pool_stats == nothing
    unopened = Database(url, pool_size=3, queue_size=1, queue_timeout=1, statement_timeout=1)
    assert unopened.pool_stats == nothing
    with pytest.raises(Unavailable):
        await unopened.fetch("x", ONE, {})


async def test_a_request_that_waited_too_long_leaves_the_queue_to_the_others(
    url: str,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1, queue_timeout=0.2) as database, time_limit():
        async with blocked_request(database, cluster):
            (first,) = await started(database, 1)
            await until(first.done)
            assert database.pool_stats.queued == 0
            (second,) = await started(database, 1)  # the timer has to start again
            await until(second.done)
        for request in (first, second):
            with pytest.raises(Unavailable):
                await request
        await until(lambda: database.pool_stats.in_flight == 0)
        assert await database.fetch("x", ONE, {}) == [(b"1",)]
    assert caplog.messages == ["not sent within 0.2 s"]


async def test_a_request_that_waited_too_long_is_logged_in_its_own_context(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    logged_by = []

    def record_task(_record: logging.LogRecord) -> bool:
        logged_by.append(asyncio.current_task())
        return True

    monkeypatch.setattr(logging.getLogger("todo.database"), "filters", [record_task])
    async with open_database(url, pool_size=1, queue_timeout=0.1) as database, time_limit():
        async with blocked_request(database, cluster):
            (request,) = await started(database, 1)
            await asyncio.wait([request])
        assert isinstance(request.exception(), Unavailable)
    assert logged_by == [request]


async def test_the_pool_counts_round_trips_and_waits_for_them(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    async with open_database(url, pool_size=1) as database, time_limit():
        totals = database.pool_totals
        assert totals == PoolTotals()
        async with blocked_request(database, cluster) as blocking:
            (queued,) = await started(database, 1)
            await asyncio.sleep(0.1)
        await asyncio.gather(blocking, queued)
        assert (totals.round_trips, totals.queued) == (2, 1)
        assert 0.1 < totals.queue_time < totals.round_trip_time


async def test_the_pool_counts_what_it_has_rejected(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_are(SLOW, monkeypatch)
    options = {"pool_size": 1, "queue_size": 2, "queue_timeout": 0.1}
    async with open_database(url, **options) as database, time_limit():
        async with blocked_request(database, cluster):
            await asyncio.gather(*await started(database, 3), return_exceptions=True)
        assert database.pool_totals.rejected == 1
        assert database.pool_totals.expired == 2
        assert database.pool_totals.queued == 0
