"""Keeping connections open: the pauses between attempts, and what is said of an outage."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from harness.blocking import until
from harness.cluster import Cluster
from harness.proxy import running_proxy
from harness.waiting import time_limit
from models.errors import NotConnected, Unavailable
from models.postgres import reconnector
from models.postgres.connect import ConnectError, RawConnection, connect
from models.postgres.connection import Batch, Connection
from models.postgres.reconnector import Reconnector
from models.postgres.statements import Query

pytestmark = pytest.mark.anyio

REFUSED = "connection refused"


class Server:
    """Stands between a reconnector and PostgreSQL; refuses connections while `down`."""

    def __init__(self) -> None:
        self.attempts: list[float] = []
        self.down = False
        self.error: Exception = ConnectError(REFUSED)

    async def connect(self, url: str) -> RawConnection:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.down:
            raise self.error
        return await connect(url)


class Pauses:
    """Records the pauses that a reconnector makes, and decides how long they are."""

    def __init__(self) -> None:
        self.wanted: list[float] = []
        self.length = 0.001

    def jitter(self, seconds: float) -> float:
        self.wanted.append(round(seconds, 6))
        return self.length


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(reconnector, "connect", server.connect)
    return server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    pauses = Pauses()
    monkeypatch.setattr(reconnector, "_with_jitter", pauses.jitter)
    return pauses


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.app


async def nothing(_connection: Connection) -> None:
    """Prepare nothing."""


def planned(
    url: str,
    *,
    size: int = 1,
    read_timeout: float = 1000,
    max_lifetime: float = 1000,
    prepare: Callable[[Connection], Awaitable[None]] = nothing,
    on_available: Callable[[Connection], None] = lambda _: None,
    on_down: Callable[[], None] = lambda: None,
) -> Reconnector:
    return Reconnector(
        url,
        size,
        read_timeout=read_timeout,
        max_lifetime=max_lifetime,
        prepare=prepare,
        on_available=on_available,
        on_down=on_down,
    )


@asynccontextmanager
async def kept_open(reconnector: Reconnector) -> AsyncIterator[Reconnector]:
    async with time_limit():
        await reconnector.open(connect_timeout=1000)
        try:
            yield reconnector
        finally:
            await reconnector.close()


async def test_while_the_database_is_down_attempts_are_ever_further_apart(
    url: str, server: Server, pauses: Pauses
) -> None:
    async with kept_open(planned(url)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: len(pauses.wanted) >= 6)
        assert pauses.wanted[:6] == [0.1, 0.2, 0.4, 0.4, 0.4, 0.4]


async def test_while_it_serves_but_accepts_no_connection_attempts_are_rarer_still(
    url: str, server: Server, pauses: Pauses
) -> None:
    async with kept_open(planned(url, size=2)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: len(pauses.wanted) >= 8)
        assert pauses.wanted[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert not links.down


async def test_after_a_success_pauses_are_short_again(
    url: str, server: Server, pauses: Pauses
) -> None:
    async with kept_open(planned(url)) as links:
        for _ in range(2):
            server.down = True
            pauses.wanted.clear()
            links.connections[0].close("a test")
            await until(lambda: len(pauses.wanted) >= 3)
            assert pauses.wanted[:3] == [0.1, 0.2, 0.4]
            server.down = False
            await until(lambda: links.connections)


async def test_a_pause_lasts_as_long_as_it_should(
    url: str, server: Server, pauses: Pauses
) -> None:
    pauses.length = 0.05
    async with kept_open(planned(url)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: len(server.attempts) >= 6)
    # The first attempt was the one that succeeded, the second had nothing to wait for.
    gaps = [after - before for before, after in itertools.pairwise(server.attempts[1:6])]
    assert min(gaps) > 0.045  # an event loop's clock may be a little early


async def test_another_loss_ends_a_pause(url: str, server: Server, pauses: Pauses) -> None:
    pauses.length = 1000
    async with kept_open(planned(url, size=2)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: pauses.wanted)
        server.down = False
        links.connections[0].close("a test")
        await until(lambda: len(links.connections) == 2)


async def test_an_expired_connection_that_cannot_be_replaced_ends_no_pause(
    url: str, server: Server, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnector, "_CHECK_INTERVAL", 0.001)
    pauses.length = 1000
    links = planned(url, size=2, max_lifetime=-1)
    server.down = True
    server.attempts.clear()
    monkeypatch.setattr(reconnector, "connect", connect)
    async with kept_open(links):
        monkeypatch.setattr(reconnector, "connect", server.connect)
        await until(lambda: pauses.wanted)
        await asyncio.sleep(0.1)  # a hundred checks
        assert len(server.attempts) == 1
        assert len(links.connections) == 2  # they are used until they can be replaced


async def test_pauses_have_jitter() -> None:
    pauses = {reconnector._with_jitter(10) for _ in range(1000)}  # noqa: SLF001
    assert 5 <= min(pauses) < 6
    assert 9 < max(pauses) <= 10


async def test_an_outage_and_its_end_are_logged_once_and_end_what_is_queued(
    url: str, server: Server, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    outages: list[bool] = []
    links = planned(url, size=2, on_down=lambda: outages.append(links.down))
    async with kept_open(links):
        server.down = True
        for connection in links.connections.copy():
            connection.close("a test")
        await until(lambda: len(pauses.wanted) >= 5)
        states = [links.down]
        server.down = False
        await until(lambda: len(links.connections) == 2)
        states.append(links.down)
    assert states == [True, False]
    assert outages == [True]
    assert caplog.messages == [
        "connection lost: a test",
        "connection lost: a test",
        f"the database is down: {REFUSED}",
        "the database is available again",
    ]


async def test_an_unexpected_error_while_connecting_is_an_outage_that_ends(
    url: str, server: Server, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    server.error = RuntimeError("can't start new thread")  # of loop.getaddrinfo
    async with kept_open(planned(url)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: len(pauses.wanted) >= 3)
        assert links.down
        assert pauses.wanted[:3] == [0.1, 0.2, 0.4]
        server.down = False
        await until(lambda: links.connections)
    assert caplog.messages == [
        "connection lost: a test",
        "unexpected error while connecting",
        f"the database is down: {server.error!r}",
        "the database is available again",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True, False, False]


async def test_an_unexpected_error_while_checking_a_connection_closes_only_that(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnector, "_CHECK_INTERVAL", 0.001)
    checked: list[Connection] = []
    check = Connection.check

    def broken_at_first(self: Connection) -> None:
        checked.append(self)
        if self is checked[0]:
            raise ZeroDivisionError
        check(self)

    monkeypatch.setattr(Connection, "check", broken_at_first)
    async with kept_open(planned(url, size=2)) as links:
        broken, other = links.connections
        await until(lambda: len(links.connections) == 2 and broken.closed)
        checked[1:] = []
        await until(lambda: other in checked)
        assert other in links.connections
    assert caplog.messages == [
        "unexpected error while checking a connection",
        "connection lost: it could not be checked",
    ]


async def test_connections_that_are_missing_are_logged_once(
    url: str, server: Server, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept_open(planned(url, size=3)) as links:
        server.down = True
        links.connections[0].close("a test")
        await until(lambda: len(pauses.wanted) >= 5)
        server.down = False
        await until(lambda: len(links.connections) == 3)
    assert caplog.messages == ["connection lost: a test", f"2 of 3 connections: {REFUSED}"]


async def test_connections_are_offered_once_they_are_prepared(url: str) -> None:
    events: list[tuple[str, Connection]] = []

    async def prepare(connection: Connection) -> None:
        events.append(("prepared", connection))
        await asyncio.sleep(0)

    links = planned(
        url,
        size=2,
        prepare=prepare,
        on_available=lambda connection: events.append(("available", connection)),
    )
    async with kept_open(links):
        first, second = links.connections
    assert events == [
        ("prepared", first),
        ("available", first),
        ("prepared", second),
        ("available", second),
    ]


@pytest.mark.parametrize("error", [Unavailable, TimeoutError])
async def test_a_connection_that_cannot_be_prepared_is_closed(
    error: type[Exception], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Connection] = []

    async def prepare(connection: Connection) -> None:
        seen.append(connection)
        raise error

    with pytest.raises(NotConnected, match=r"todo_login: a new connection was closed, or did"):
        await planned(url, prepare=prepare).open(connect_timeout=-1)
    (connection,) = seen
    assert connection.closed
    assert caplog.messages == []  # it was never one of the service's


async def test_preparing_takes_a_bounded_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnector, "_PREPARE_TIMEOUT", 0.01)

    async def prepare(_connection: Connection) -> None:
        await asyncio.sleep(1000)

    async with time_limit():
        with pytest.raises(NotConnected, match="did not respond"):
            await planned(url, prepare=prepare).open(connect_timeout=-1)


async def test_a_bug_in_preparing_is_no_outage_and_leaves_no_connection(url: str) -> None:
    seen: list[Connection] = []

    async def prepare(connection: Connection) -> None:
        seen.append(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await planned(url, prepare=prepare).open(connect_timeout=1000)
    assert seen[0].closed


async def test_opening_is_tried_until_its_time_is_over(
    url: str, server: Server, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    server.down = True
    links = planned(url)
    async with time_limit():
        opening = asyncio.create_task(links.open(connect_timeout=1000))
        await until(lambda: len(server.attempts) >= 3)
        assert not opening.done()
        server.down = False
        await opening
        await links.close()
    assert set(pauses.wanted) == {0.4}
    assert len(caplog.messages) == len(server.attempts) - 1
    assert caplog.messages[0].startswith("Cannot connect to todo at ")
    assert caplog.messages[0].endswith(f" as todo_login: {REFUSED}")


async def test_opening_is_tried_once_at_least(url: str, server: Server) -> None:
    server.down = True
    with pytest.raises(NotConnected, match=REFUSED):
        await planned(url).open(connect_timeout=-1)
    assert len(server.attempts) == 1


async def test_one_connection_is_enough_to_open(
    url: str, monkeypatch: pytest.MonkeyPatch, server: Server, pauses: Pauses
) -> None:
    first = server.connect

    async def once(url: str) -> RawConnection:
        server.down = bool(server.attempts)
        return await first(url)

    monkeypatch.setattr(reconnector, "connect", once)
    async with kept_open(planned(url, size=3)) as links:
        assert len(server.attempts) == 2  # with the one that failed, nothing else is tried
        assert len(links.connections) == 1
        await until(lambda: pauses.wanted)  # the rest is opened later
        monkeypatch.setattr(reconnector, "connect", connect)
        await until(lambda: len(links.connections) == 3)


async def test_closing_ends_every_connection_and_all_attempts(
    url: str, server: Server, pauses: Pauses
) -> None:
    async with kept_open(planned(url, size=2)) as links:
        connections = links.connections.copy()
        server.down = True
        connections[0].close("a test")
        await until(lambda: len(pauses.wanted) >= 2)
    assert all(connection.closed for connection in connections)
    assert links.all_connections == []
    attempts = len(server.attempts)
    await asyncio.sleep(0.05)
    assert len(server.attempts) == attempts


async def test_an_unresponsive_connection_is_noticed_without_any_event(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnector, "_CHECK_INTERVAL", 0.01)
    async with running_proxy(cluster.port) as network:
        url = cluster.with_params(port=network.port).app
        async with kept_open(planned(url, read_timeout=0.1)) as links:
            (connection,) = links.connections
            network.pause()
            batch = Batch([Query(b"SELECT 1", ())], asyncio.get_running_loop().create_future())
            connection.send(batch)
            with pytest.raises(Unavailable):
                await batch.future
            assert connection.closed
            network.resume()
            await until(lambda: links.connections)


async def test_a_missing_connection_is_opened_before_an_expired_one_is_retired(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(reconnector, "_CHECK_INTERVAL", 1000)  # so that only the loss counts
    links = planned(url, size=2, on_available=lambda _: counts.append(len(links.connections)))
    async with kept_open(links):
        expired, lost = links.connections
        links._expires_at[expired] = 0  # noqa: SLF001 (as if it had been open for a long time)
        lost.close("a test")
        await until(lambda: expired.closed)
        assert counts == [1, 2, 2, 3]
        assert len(links.connections) == 2


async def test_a_lost_connection_is_not_kept_in_memory(url: str) -> None:
    async with kept_open(planned(url)) as links:
        lost = weakref.ref(links.connections[0])
        links.connections[0].close("a test")
        await until(lambda: links.connections)
        gc.collect()
        assert lost() is None
