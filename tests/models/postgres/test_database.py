"""Running statements: one round trip, as one user, in bounded time, without leftovers."""

import asyncio
import logging
import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from uuid import uuid4

import anyio
import psycopg
import pytest
from psycopg.rows import TupleRow

from harness.cluster import Cluster, new_user_id, open_database
from harness.proxy import running_proxy
from harness.statements import SERVED, values_for
from harness.waiting import poll_until, time_limit
from models.errors import OutcomeUnknown, Unavailable
from models.postgres.connection import Batch, Connection
from models.postgres.database import KINDS, Database
from models.postgres.pool_stats import PoolStats
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

WHO = Statement(b"SELECT current_setting('app.user_id'), current_user", (), writes=False)
PID = Statement(b"SELECT pg_backend_pid()", (), writes=False)
SLEEP = Statement(b"SELECT pg_sleep(1000)", (), writes=False)
NAP = Statement(b"SELECT pg_sleep(0.02)", (), writes=False)
GATE = Statement(b"SELECT pg_advisory_xact_lock_shared(2718)", (), writes=False)
LEFT = Statement(
    b"SELECT current_user, current_setting('app.user_id', true),"
    b" current_setting('statement_timeout'), current_setting('transaction_read_only')",
    (),
    writes=False,
)


@contextmanager
def closed_gate(cluster: Cluster) -> Iterator[psycopg.Connection[TupleRow]]:
    """Block every GATE statement until the transaction ends."""
    with psycopg.connect(cluster.superuser) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(2718)")
        yield connection


async def wait_until_blocked(cluster: Cluster) -> None:
    """Wait until one request is blocked by the gate."""

    async def is_blocked() -> bool:
        question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(cluster.scalar(question) == 1)

    await poll_until(is_blocked)
    await asyncio.sleep(0.05)  # until no batch is pipelined behind it


def open_on_postgresql(cluster: Cluster) -> AbstractAsyncContextManager[Database]:
    """Open a database with one connection, where the messages of that kind matter."""
    return open_database(cluster.app, kind="postgresql", pool_size=1)


@asynccontextmanager
async def busy(database: Database, cluster: Cluster) -> AsyncIterator[None]:
    """Keep one connection busy with a request that is blocked."""
    with closed_gate(cluster) as gate:
        task = asyncio.create_task(database.fetch(new_user_id(), GATE, {}))
        await wait_until_blocked(cluster)
        yield
        gate.rollback()
        await task


def messages(sent: bytes) -> str:
    """Return the type bytes of the messages that a client has sent."""
    types = ""
    while sent:
        types += chr(sent[0])
        sent = sent[1 + struct.unpack(">i", sent[1:5])[0] :]
    return types


@pytest.mark.parametrize("name", SERVED)
async def test_settings_and_statement_make_one_round_trip_and_one_transaction(
    name: str, cluster: Cluster
) -> None:
    values = values_for(new_user_id(), uuid4())
    async with (
        running_proxy(cluster.port) as proxy,
        open_on_postgresql(cluster.with_params(port=proxy.port)) as database,
    ):
        await database.fetch(new_user_id(), PID, {})
        proxy.recorded.clear()
        await database.fetch(new_user_id(), SERVED[name], values)
        assert proxy.turns() == ["client", "server"]
        assert messages(proxy.client_bytes()) == "BDE" + "BDE" + "S"  # no Parse message


async def test_a_statement_runs_as_the_app_role_and_the_user(database: Database) -> None:
    alice = new_user_id()
    assert await database.fetch(alice, WHO, {}) == [(alice.encode(), b"todo_serving")]


async def test_the_identity_is_local_to_the_transaction(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(cluster.app, pool_size=1, statement_timeout=7) as database:
        during = await database.fetch("alice", LEFT, {})
        assert during == [(b"todo_serving", b"alice", b"7s", b"on")]
        monkeypatch.setattr(database, "_begin", lambda *_, **__: ())
        after = await database.fetch("alice", LEFT, {})
        assert after == [(b"todo_login", b"", b"0", b"off")]


async def test_a_read_only_statement_cannot_write(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    insert = b"INSERT INTO todo.users (id) VALUES ($1) RETURNING id"
    with pytest.raises(Unavailable):
        await database.fetch("alice", Statement(insert, ("user_id",), writes=False), {})
    assert caplog.messages == ["25006: cannot execute INSERT in a read-only transaction"]
    alice = new_user_id()
    statement = Statement(insert, ("user_id",), writes=True)
    assert await database.fetch(alice, statement, {}) == [(alice.encode(),)]


async def test_a_failed_statement_is_rolled_back(database: Database) -> None:
    alice = new_user_id()
    statement = Statement(
        b"WITH u AS (INSERT INTO todo.users (id) VALUES ($1) RETURNING id)"
        b" SELECT 1 / (length(id) - 32) FROM u",
        ("user_id",),
        writes=True,
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        await database.fetch(alice, statement, {})
    count = Statement(b"SELECT count(*) FROM todo.users", (), writes=False)
    assert await database.fetch(alice, count, {}) == [(b"0",)]


async def test_a_parameter_cannot_override_the_user_id(database: Database) -> None:
    echo = Statement(b"SELECT $1, current_setting('app.user_id')", ("user_id",), writes=False)
    assert await database.fetch("alice", echo, {"user_id": "bob"}) == [(b"alice", b"alice")]


@pytest.mark.parametrize(
    ("text", "error"),
    [("alice\0bob", psycopg.DataError), ("\ud800", UnicodeEncodeError)],
    ids=["NUL", "surrogate"],
)
async def test_text_that_cannot_be_encoded_is_rejected_before_it_is_sent(
    text: str, error: type[Exception], database: Database
) -> None:
    echo = Statement(b"SELECT $1", ("echo",), writes=False)
    with pytest.raises(error):
        await database.fetch("alice", echo, {"echo": text})
    with pytest.raises(error):
        await database.fetch(text, echo, {"echo": ""})


async def test_a_statement_timeout_does_not_close_the_connection(cluster: Cluster) -> None:
    async with open_database(cluster.app, pool_size=1, statement_timeout=0.5) as database:
        before = await database.fetch("alice", PID, {})
        with pytest.raises(Unavailable):
            await database.fetch("alice", SLEEP, {})
        assert await database.fetch("alice", PID, {}) == before


async def test_a_programming_error_propagates_and_does_not_close_the_connection(
    cluster: Cluster,
) -> None:
    async with open_database(cluster.app, pool_size=1) as database:
        before = await database.fetch("alice", PID, {})
        with pytest.raises(psycopg.errors.UndefinedColumn):
            await database.fetch("alice", Statement(b"SELECT nonsense", (), writes=False), {})
        assert await database.fetch("alice", PID, {}) == before


async def test_errors_and_logs_contain_no_values(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    alice = new_user_id()
    secret = Statement(
        b"SELECT $1::text, pg_sleep(1000)", ("secret",), writes=False, name="secret"
    )
    async with open_database(
        cluster.app, statement_timeout=0.5, slow_statement=0.4
    ) as database:
        with pytest.raises(Unavailable) as failure:
            await database.fetch(alice, secret, {"secret": "the cake"})
    assert str(failure.value) == "the database is unavailable"
    assert re.match(
        r"the statement secret took \d\.\d{3} s\n57014: ", "\n".join(caplog.messages)
    )
    assert alice not in caplog.text
    assert "the cake" not in caplog.text


async def test_only_a_slow_statement_is_logged_by_name(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    nap = Statement(b"SELECT pg_sleep(0.2)", (), writes=False, name="nap")
    async with open_database(cluster.app, pool_size=1, slow_statement=0.1) as database:
        # What is queued behind a slow statement is not slow itself.
        await asyncio.gather(*(database.fetch("alice", each, {}) for each in (nap, WHO)))
    (message,) = caplog.messages
    assert re.fullmatch(r"the statement nap took \d\.\d{3} s", message)
    async with open_database(cluster.app) as database:
        await database.fetch("alice", nap, {})
    assert len(caplog.messages) == 1


async def test_successful_requests_are_not_logged(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_database(cluster.app) as database:
        for _ in range(5):
            await database.fetch("alice", WHO, {})
    assert caplog.messages == []


async def test_requests_beyond_the_queue_are_rejected_and_queued_ones_served(
    cluster: Cluster,
) -> None:
    async with open_database(cluster.app, pool_size=1, queue_size=2) as database:
        async with busy(database, cluster):
            queued = [asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Unavailable) as rejection:
                await database.fetch("alice", WHO, {})
            assert rejection.value.retry_after == 1
        assert await asyncio.gather(*queued) == 2 * [[(b"x", b"todo_serving")]]


async def test_a_request_queued_for_too_long_is_rejected(cluster: Cluster) -> None:
    async with open_database(cluster.app, pool_size=1, queue_timeout=1) as database:
        async with busy(database, cluster):
            with pytest.raises(Unavailable):
                await database.fetch("alice", WHO, {})
        await poll_until(database.ready)


async def test_each_queued_request_has_its_own_timeout(
    cluster: Cluster,
) -> None:
    async with (
        open_database(cluster.app, pool_size=1, queue_timeout=1) as database,
        time_limit(),
        busy(database, cluster),
    ):
        cancelled, first = (asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(2))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(database.fetch("x", WHO, {}))
        cancelled.cancel()
        await asyncio.wait([first])
        assert not second.done()
        for request in (first, second):
            with pytest.raises(Unavailable):
                await request


async def test_batches_are_pipelined_on_one_connection(cluster: Cluster) -> None:
    async with (
        running_proxy(cluster.port) as proxy,
        open_on_postgresql(cluster.with_params(port=proxy.port)) as database,
        time_limit(),
    ):
        users = [new_user_id(), new_user_id()]
        proxy.recorded.clear()
        requests = [asyncio.create_task(database.fetch(user, WHO, {})) for user in users]
        results = await asyncio.gather(*requests)
        assert messages(proxy.client_bytes()).count("S") == 2
        assert proxy.turns() == ["client", "server"]
    assert results == [[(user.encode(), b"todo_serving")] for user in users]


async def test_a_failed_batch_does_not_affect_other_batches(cluster: Cluster) -> None:
    bug = Statement(b"SELECT 1 / 0", (), writes=False)
    async with open_database(cluster.app, pool_size=1) as database, time_limit():
        outcomes = await asyncio.gather(
            *(database.fetch("x", statement, {}) for statement in (WHO, bug, WHO, bug)),
            return_exceptions=True,
        )
    assert outcomes[::2] == 2 * [[(b"x", b"todo_serving")]]
    assert {type(error) for error in outcomes[1::2]} == {psycopg.errors.DivisionByZero}


async def test_an_error_at_commit_is_raised(scratch_db: Cluster) -> None:
    scratch_db.execute("""CREATE TABLE todo.late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
        GRANT ALL ON todo.late TO todo_serving""")
    late = Statement(b"INSERT INTO todo.late VALUES (1) RETURNING n", (), writes=True)
    async with open_database(scratch_db.app, pool_size=1) as database, time_limit():
        assert await database.fetch("x", late, {}) == [(b"1",)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            await database.fetch("x", late, {})
        assert await database.fetch("x", WHO, {}) == [(b"x", b"todo_serving")]


async def test_a_slow_statement_does_not_delay_requests_while_a_connection_is_free(
    cluster: Cluster,
) -> None:
    async with (
        open_database(cluster.app, pool_size=2) as database,
        time_limit(),
        busy(database, cluster),
    ):
        for _ in range(20):
            requests = (database.fetch("x", WHO, {}) for _ in range(10))
            assert await asyncio.gather(*requests) == 10 * [[(b"x", b"todo_serving")]]


async def test_many_more_requests_than_connections_are_all_served(database: Database) -> None:
    users = [new_user_id() for _ in range(150)]
    results = await asyncio.gather(*(database.fetch(user, WHO, {}) for user in users))
    assert results == [[(user.encode(), b"todo_serving")] for user in users]


async def test_cancelled_requests_leave_nothing_behind(cluster: Cluster) -> None:
    async def cancelled(pause: float) -> None:
        task = asyncio.create_task(database.fetch(new_user_id(), NAP, {}))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])

    async def served() -> None:
        user = new_user_id()
        assert await database.fetch(user, WHO, {}) == [(user.encode(), b"todo_serving")]

    async with open_database(cluster.app) as database, time_limit():
        for n in range(60):
            tries = [cancelled(0.0003 * (n % 30)) for _ in range(2)]
            await asyncio.gather(*tries, served(), served())
        await asyncio.gather(*(served() for _ in range(50)))


async def test_a_cancelled_statement_is_cancelled_in_the_database_too(cluster: Cluster) -> None:
    async def sleepers() -> int:
        question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return int(cluster.scalar(question))

    async def none_sleeping() -> bool:
        return await sleepers() == 0

    async with open_database(cluster.app, statement_timeout=1000) as database, time_limit():
        await poll_until(none_sleeping)
        task = asyncio.create_task(database.fetch("alice", SLEEP, {}))
        await poll_until(sleepers)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await poll_until(none_sleeping)


async def test_a_repeatedly_cancelled_request_releases_its_connection(
    cluster: Cluster,
) -> None:
    async with open_database(cluster.app, pool_size=1) as database, time_limit():
        for _ in range(10):
            with anyio.move_on_after(0.01):  # cancels at every await until exit
                await database.fetch("alice", SLEEP, {})
            assert await database.fetch("bob", WHO, {}) == [(b"bob", b"todo_serving")]


async def test_a_connection_lost_on_reuse_fails_one_queued_request(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Connection.send

    def send_on_closed(connection: Connection, batch: Batch) -> None:
        monkeypatch.setattr(Connection, "send", send)
        connection._raw.pgconn.finish()  # noqa: SLF001 (there is no other way at this moment)
        connection.send(batch)

    async with open_database(cluster.app, pool_size=1) as database, time_limit():
        async with busy(database, cluster):
            queued = [asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(3)]
            await asyncio.sleep(0)
            monkeypatch.setattr(Connection, "send", send_on_closed)
        first, *others = await asyncio.gather(*queued, return_exceptions=True)
    assert isinstance(first, Unavailable)
    assert others == 2 * [[(b"x", b"todo_serving")]]


async def test_requests_cancelled_in_the_queue_are_skipped(cluster: Cluster) -> None:
    async with open_database(cluster.app, pool_size=1) as database, time_limit():
        async with busy(database, cluster):
            queued = [asyncio.create_task(database.fetch("x", WHO, {})) for _ in range(20)]
            await asyncio.sleep(0)
            for task in queued[::2]:
                task.cancel()
        outcomes = await asyncio.gather(*queued, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
        assert outcomes[1::2] == 10 * [[(b"x", b"todo_serving")]]


async def test_close_drains_requests_in_flight(cluster: Cluster) -> None:
    async with open_database(cluster.app) as database:
        with closed_gate(cluster) as gate:
            served = asyncio.create_task(database.fetch("alice", GATE, {}))
            await wait_until_blocked(cluster)
            closing = asyncio.create_task(database.close(drain_timeout=60))
            await asyncio.sleep(0.1)
            assert not closing.done()
            with pytest.raises(Unavailable):
                await database.fetch("bob", WHO, {})
            gate.rollback()
        await closing
        assert await served == [(b"",)]


async def test_close_waits_no_longer_than_the_drain_timeout(cluster: Cluster) -> None:
    async with open_database(cluster.app) as database, time_limit():
        with closed_gate(cluster):
            served = asyncio.create_task(database.fetch("alice", GATE, {}))
            await wait_until_blocked(cluster)
            await database.close(drain_timeout=0.1)
            with pytest.raises(Unavailable):
                await served


async def test_a_database_that_serves_is_ready_and_a_closed_one_is_not(
    cluster: Cluster,
) -> None:
    async with open_database(cluster.app) as database:
        await poll_until(database.ready)
    assert await database.ready() is False


async def test_a_database_that_is_drained_is_not_ready_and_still_serves(
    database: Database,
) -> None:
    await poll_until(database.ready)
    database.drain()
    assert await database.ready() is False
    assert await database.fetch("alice", WHO, {}) == [(b"alice", b"todo_serving")]


async def test_all_who_ask_at_once_whether_the_database_is_ready_share_a_round_trip(
    cluster: Cluster,
) -> None:
    async with open_database(cluster.app) as database, time_limit():
        await poll_until(database.ready)
        before = database.pool_totals.round_trips
        assert await asyncio.gather(*(database.ready() for _ in range(20))) == 20 * [True]
        assert database.pool_totals.round_trips == before + 1
        assert await database.ready()
        assert database.pool_totals.round_trips == before + 2


async def test_who_asks_again_at_once_does_not_change_what_others_are_told(
    database: Database,
) -> None:
    async def ready_twice() -> bool:
        return await database.ready() and await database.ready()

    async with time_limit():
        await poll_until(database.ready)
        assert await asyncio.gather(*(ready_twice() for _ in range(5))) == 5 * [True]


async def test_a_database_that_responds_late_is_not_ready_and_keeps_its_connection(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("models.postgres.database._READY_TIMEOUT", 0.1)
    async with open_database(cluster.app, pool_size=1) as database, time_limit():
        with closed_gate(cluster), monkeypatch.context() as patch:
            patch.setattr("models.postgres.database._PING", GATE)
            for _ in range(2):
                assert not await database.ready()
                assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=0)
            gone = asyncio.create_task(database.ready())
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            assert database.pool_stats == PoolStats(size=1, in_flight=1, queued=0)
        await poll_until(database.ready)
    assert caplog.messages == []


async def test_no_task_that_asks_whether_the_database_is_ready_outlives_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.postgres.database._READY_TIMEOUT", 0.1)
    monkeypatch.setattr("models.postgres.database._PING", GATE)
    before = asyncio.all_tasks()
    async with open_database(cluster.app) as database, time_limit():
        with closed_gate(cluster):
            assert not await database.ready()
            await database.close(drain_timeout=0.1)
            assert asyncio.all_tasks() == before


async def test_a_database_that_cannot_run_the_simplest_statement_is_not_ready(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missing = Statement(b"SELECT missing()", (), writes=False)
    monkeypatch.setattr("models.postgres.database._PING", missing)
    assert not await database.ready()
    (record,) = caplog.records
    assert record.exc_info
    assert isinstance(record.exc_info[1], psycopg.errors.UndefinedFunction)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_that_has_become_read_only_is_not_ready_and_rejects_writes(
    kind: str, cluster: Cluster
) -> None:
    read_only = b"SELECT set_config('default_transaction_read_only', 'on', false)"
    insert = b"INSERT INTO todo.users (id) VALUES ($1) RETURNING id"
    async with open_database(cluster.app, kind=kind, pool_size=1) as database, time_limit():
        await database.fetch("alice", Statement(read_only, (), writes=False), {})
        assert not await database.ready()
        with pytest.raises(Unavailable) as failure:
            await database.fetch("alice", Statement(insert, ("user_id",), writes=True), {})
        assert not isinstance(failure.value, OutcomeUnknown)
        assert await database.fetch("alice", WHO, {}) == [(b"alice", b"todo_serving")]


async def test_a_database_without_a_free_connection_is_not_ready(cluster: Cluster) -> None:
    async with open_database(cluster.app, pool_size=1, queue_timeout=1000) as database:
        async with busy(database, cluster), time_limit():
            assert not await database.ready()
        await poll_until(database.ready)
