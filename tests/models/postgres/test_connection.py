"""One connection: what is sent, what comes back, and what its end means for batches."""

import asyncio
import select
import time
from collections.abc import AsyncIterator

import pytest
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from harness.blocking import until
from harness.cluster import Cluster
from harness.proxy import running_proxy
from harness.waiting import time_limit
from models.errors import OutcomeUnknown, Unavailable
from models.postgres.connect import connect
from models.postgres.connection import Batch, Connection
from models.postgres.statements import Query

pytestmark = pytest.mark.anyio

ONE = Query(b"SELECT 1", ())
BUG = Query(b"SELECT 1 / 0", ())
SLEEP = Query(b"SELECT pg_sleep(1000)", ())
READ_TIMEOUT = 0.05


@pytest.fixture
def losses() -> list[str]:
    """Return the reasons for which connections were lost."""
    return []


@pytest.fixture
async def connection(cluster: Cluster, losses: list[str]) -> AsyncIterator[Connection]:
    async with time_limit():
        connection = await opened_at(cluster.app, losses)
        yield connection
        connection.close("the end of a test")


async def opened_at(url: str, losses: list[str]) -> Connection:
    def lost(connection: Connection, reason: str) -> None:
        assert connection.closed
        losses.append(reason)

    connection = Connection(await connect(url), read_timeout=READ_TIMEOUT, on_lost=lost)
    # Otherwise the server would keep a session that sleeps after its client has gone.
    await sent(connection, Query(b"SET client_connection_check_interval = '100ms'", ()))
    return connection


def sent(connection: Connection, *queries: Query) -> asyncio.Future[list[PGresult]]:
    batch = Batch(queries, asyncio.get_running_loop().create_future())
    connection.send(batch)
    return batch.future


def value(result: PGresult) -> bytes | None:
    assert result.status == ExecStatus.TUPLES_OK, result.get_error_message()
    return result.get_value(0, 0)


async def test_results_come_in_the_order_of_the_queries(connection: Connection) -> None:
    batches = [
        sent(connection, *(Query(b"SELECT $1 || ''", [b"%d %d" % (n, q)]) for q in range(n)))
        for n in range(1, 5)
    ]
    for number, results in enumerate(await asyncio.gather(*batches), start=1):
        assert [*map(value, results)] == [b"%d %d" % (number, q) for q in range(number)]


async def test_queries_after_a_failed_one_are_not_run(connection: Connection) -> None:
    before, failed, skipped = await sent(connection, ONE, BUG, ONE)
    assert value(before) == b"1"
    assert failed.status == ExecStatus.FATAL_ERROR
    assert skipped.status == ExecStatus.PIPELINE_ABORTED
    assert [*map(value, await sent(connection, ONE))] == [b"1"]


async def test_more_than_the_network_takes_at_once_is_sent(connection: Connection) -> None:
    size = 20_000_000
    long = sent(connection, Query(b"SELECT length($1::text)", [b"x" * size]))
    short = sent(connection, ONE)
    assert [*map(value, await long)] == [b"%d" % size]
    assert [*map(value, await short)] == [b"1"]
    # Nothing is left to write: an event loop that still asked would never be idle.
    loop = asyncio.get_running_loop()
    assert not loop.remove_writer(connection._socket)  # noqa: SLF001 (nothing else knows it)


async def test_a_callback_says_that_a_batch_is_done(connection: Connection) -> None:
    done: list[int] = []
    connection.on_available = lambda c: done.append(len(c.in_flight))
    await asyncio.gather(sent(connection, ONE), sent(connection, ONE))
    assert done == [1, 0]


async def test_a_closed_connection_fails_its_batches_and_is_lost_once(
    connection: Connection, losses: list[str]
) -> None:
    in_flight = [sent(connection, SLEEP), sent(connection, ONE)]
    connection.close("first")
    connection.close("second")
    connection.check()
    late = sent(connection, ONE)
    outcomes = await asyncio.gather(*in_flight, late, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        OutcomeUnknown,
        OutcomeUnknown,
        Unavailable,  # was not sent
    ]
    assert losses == ["first"]
    assert not connection.in_flight


async def test_closing_ends_the_session_at_once(
    connection: Connection, cluster: Cluster
) -> None:
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {connection.pid}"
    connection.close("a test")
    await until(lambda: cluster.scalar(sessions) == 0)  # and not with the garbage


async def test_closing_while_there_is_more_to_send_leaves_nothing_in_the_event_loop(
    connection: Connection,
) -> None:
    """The next connection may get the same descriptor."""
    loop, descriptor = asyncio.get_running_loop(), connection._socket  # noqa: SLF001
    request = sent(connection, Query(b"SELECT length($1::text)", [b"x" * 20_000_000]))
    connection.close("a test")
    assert not loop.remove_writer(descriptor)
    assert not loop.remove_reader(descriptor)
    with pytest.raises(OutcomeUnknown):
        await request


async def test_batches_whose_callers_are_gone_may_end_in_any_way(
    connection: Connection, losses: list[str]
) -> None:
    done, lost = sent(connection, ONE), None
    done.cancel()
    await until(lambda: not connection.in_flight)
    lost = sent(connection, SLEEP)
    lost.cancel()
    connection.close("a test")
    assert losses == ["a test"]


async def test_the_server_says_why_it_ends_a_connection(
    connection: Connection, cluster: Cluster, losses: list[str]
) -> None:
    requests = [sent(connection, SLEEP), sent(connection, ONE)]
    pid = connection.pid
    sleeping = f"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {pid}"
    await until(lambda: cluster.scalar(sleeping))
    cluster.scalar(f"SELECT pg_terminate_backend({pid})")
    for request in requests:
        with pytest.raises(OutcomeUnknown):
            await request
    (reason,) = losses
    assert "terminating connection due to administrator command" in reason


async def test_an_idle_connection_that_ends_is_noticed(
    connection: Connection, cluster: Cluster, losses: list[str]
) -> None:
    cluster.scalar(f"SELECT pg_terminate_backend({connection.pid})")
    await until(lambda: losses)
    assert connection.closed


def waited(connection: Connection, seconds: float) -> None:
    """Pretend that the first batch has been in flight for so long."""
    connection.first_sent_at = time.monotonic() - seconds


async def test_a_connection_that_responds_too_late_is_closed(
    connection: Connection, losses: list[str]
) -> None:
    request = sent(connection, SLEEP)
    waited(connection, 0)
    connection.check()
    assert not connection.closed
    waited(connection, READ_TIMEOUT)
    connection.check()
    with pytest.raises(OutcomeUnknown):
        await request
    assert losses == [f"no response for {READ_TIMEOUT} s"]


async def test_an_idle_connection_is_never_late(
    connection: Connection, losses: list[str]
) -> None:
    await sent(connection, ONE)
    waited(connection, 1000)
    connection.check()
    assert losses == []


async def test_a_response_that_has_arrived_is_not_late(
    connection: Connection, losses: list[str]
) -> None:
    request = sent(connection, ONE)
    waited(connection, 1000)
    readable(connection)
    connection.check()
    assert [*map(value, await request)] == [b"1"]
    assert losses == []


def readable(connection: Connection) -> None:
    """Block until the server has responded, so that the event loop cannot notice first."""
    select.select([connection._socket], [], [])  # noqa: SLF001
    assert connection.in_flight


async def test_each_batch_has_the_whole_time_to_itself(
    connection: Connection,
) -> None:
    first, second = sent(connection, ONE), sent(connection, SLEEP)
    waited(connection, 1000)
    await first
    assert time.monotonic() - connection.first_sent_at < 500  # since the first was done
    waited(connection, 1000)
    third = sent(connection, ONE)
    assert time.monotonic() - connection.first_sent_at > 500  # a later one changes nothing
    connection.check()
    outcomes = await asyncio.gather(second, third, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == 2 * [OutcomeUnknown]


async def test_a_batch_on_an_idle_connection_starts_its_time(connection: Connection) -> None:
    waited(connection, 1000)
    request = sent(connection, ONE)
    assert time.monotonic() - connection.first_sent_at < 500
    await request


async def test_nonsense_from_the_server_ends_a_connection(
    cluster: Cluster, losses: list[str]
) -> None:
    async with running_proxy(cluster.port) as network, time_limit():
        connection = await opened_at(cluster.with_params(port=network.port).app, losses)
        request = sent(connection, SLEEP)
        network.send_invalid_message()
        with pytest.raises(OutcomeUnknown):
            await request
        (reason,) = losses
        assert "lost synchronization with server" in reason
