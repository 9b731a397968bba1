"""What the service says to Citus, and what it makes of the response.

PostgreSQL accepts it, too. With TEST_DATABASE_KIND=citus, many other tests run in this way.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from harness.blocking import Request, until
from harness.cluster import Cluster, new_user_id, open_database
from harness.proxy import running_proxy
from harness.waiting import time_limit
from models.errors import NotFound, OutcomeUnknown, PermissionDenied, Unavailable
from models.lists import list_tasks
from models.postgres.database import Database
from models.postgres.statements import SYNC, Query, Statement
from models.tasks import create_task, get_task

pytestmark = pytest.mark.anyio

WHO = Statement(b"SELECT current_user, current_setting('app.user_id')", (), writes=False)
NOBODY = Statement(b"SELECT current_user", (), writes=False)
LEFT = Statement(
    b"SELECT current_user, current_setting('app.user_id'),"
    b" current_setting('statement_timeout'), current_setting('transaction_read_only')",
    (),
    writes=False,
)
PREPARED = Statement(b"SELECT count(*) FROM pg_prepared_statements", (), writes=False)
BUG = Statement(b"SELECT 1 / 0", (), writes=True)
LATE = Statement(b"INSERT INTO todo.late VALUES (1) RETURNING n", (), writes=True)
LATE_TRIGGER = """
    CREATE TABLE todo.late (n int);
    GRANT INSERT, SELECT ON todo.late TO todo_serving;
    CREATE FUNCTION todo.late() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {}; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON todo.late
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION todo.late();
"""
IDS = {
    "quote": "o'brien",
    "quotes": "''''",
    "backslash": "\\",
    "backslash and quote": "\\'",
    "last a backslash": "x\\",
    "another statement": "'; RESET ROLE; --",
    "escape string": "E'\\''",
    "parameters": '$1 %s {} $$ "',
    "unicode": "Ζωή 🌍 e\u0301",
    "like a quote": "\u2019 \u02bc \uff07",
    "long": "ф" * 255,
    "empty": "",
}


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[Database]:
    """Open the shared database with one connection, as if it were Citus."""
    async with open_database(cluster.app, kind="citus", pool_size=1) as database, time_limit():
        yield database


@pytest.fixture
def citus_db(cluster: Cluster) -> Iterator[Cluster]:
    """Create a database that is migrated as if it were Citus."""
    with cluster.new_database() as citus_db:
        citus_db.migrate("citus")
        yield citus_db


def messages(sent: bytes) -> list[str]:
    """Return the SQL of each query that a client has sent, and "sync" for each sync."""
    found = []
    while sent:
        end = 1 + struct.unpack(">i", sent[1:5])[0]
        if sent[:1] == b"P":
            found.append(sent[5:end].split(b"\0")[1].decode())
        elif sent[:1] == b"S":
            found.append("sync")
        sent = sent[end:]
    return found


@pytest.mark.parametrize(("writes", "begin"), [(True, "BEGIN"), (False, "BEGIN READ ONLY")])
async def test_each_setting_and_the_commit_is_a_query_of_its_own(
    begin: str, cluster: Cluster, *, writes: bool
) -> None:
    async with (
        running_proxy(cluster.port) as proxy,
        open_database(
            cluster.with_params(port=proxy.port).app, kind="citus", statement_timeout=7
        ) as database,
    ):
        proxy.recorded.clear()
        await database.fetch("alice", Statement(b"SELECT 1", (), writes=writes), {})
        assert messages(proxy.client_bytes()) == [
            begin,
            "SET LOCAL citus.propagate_set_commands = 'local'",
            "SET LOCAL ROLE todo_serving",
            "SET LOCAL app.user_id = 'alice'",
            "SET LOCAL statement_timeout = '7000ms'",
            "SELECT 1",
            "sync",
            "COMMIT",
            "sync",
        ]


async def test_nothing_is_prepared(database: Database) -> None:
    assert await database.fetch("alice", PREPARED, {}) == [(b"0",)]


@pytest.mark.parametrize("user", IDS.values(), ids=IDS)
async def test_an_id_is_passed_on_as_it_is(user: str, database: Database) -> None:
    assert await database.fetch(user, WHO, {}) == [(b"todo_serving", user.encode())]


@pytest.mark.parametrize("quote", ["on", "off"])
async def test_quoting_does_not_depend_on_settings_of_the_database(
    quote: str, scratch_db: Cluster
) -> None:
    scratch_db.execute(f"""
        ALTER DATABASE {scratch_db.name} SET standard_conforming_strings = off;
        ALTER DATABASE {scratch_db.name} SET backslash_quote = {quote};
    """)
    async with open_database(scratch_db.app, kind="citus") as database:
        for user in IDS.values():
            assert await database.fetch(user, WHO, {}) == [(b"todo_serving", user.encode())]


async def test_without_a_user_a_statement_runs_as_the_login(database: Database) -> None:
    assert await database.fetch(None, NOBODY, {}) == [(b"todo_login",)]


async def test_a_transaction_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = await database.fetch("alice", LEFT, {})
    assert during == [(b"todo_serving", b"alice", b"5s", b"on")]
    monkeypatch.setattr(database, "_begin", lambda *_, **__: ())
    assert await database.fetch("alice", LEFT, {}) == [(b"todo_login", b"", b"0", b"off")]


async def test_a_failed_transaction_does_not_affect_those_behind_it(
    database: Database,
) -> None:
    users = [new_user_id() for _ in range(20)]
    outcomes = await asyncio.gather(
        *(database.fetch(user, each, {}) for user in users for each in (BUG, WHO)),
        return_exceptions=True,
    )
    assert {type(error) for error in outcomes[::2]} == {psycopg.errors.DivisionByZero}
    assert outcomes[1::2] == [[(b"todo_serving", user.encode())] for user in users]


async def test_a_user_can_use_every_operation_on_their_own_tasks_only(
    citus_db: Cluster,
) -> None:
    async with open_database(citus_db.app, kind="citus") as database, time_limit():
        hers = await create_task(database, "alice", {"title": "hers"})
        assert await get_task(database, "alice", hers.id) == hers
        with pytest.raises(PermissionDenied):
            await get_task(database, "bob", hers.id)
        with pytest.raises(NotFound):
            await get_task(database, "bob", "00000000-0000-4000-8000-000000000000")
        assert (await list_tasks(database, "bob", limit=10)).total == 0


@asynccontextmanager
async def committing(
    database: Database, cluster: Cluster
) -> AsyncIterator[tuple[Request, int]]:
    """Start a write whose COMMIT waits until the context exits; yield it and its server pid."""
    cluster.execute(LATE_TRIGGER.format("PERFORM pg_advisory_xact_lock(2718)"))
    waiting = """SELECT min(pid) FROM pg_stat_activity
        WHERE query = 'COMMIT' AND wait_event = 'advisory' AND datname = current_database()"""
    with psycopg.connect(cluster.superuser) as blocker:
        blocker.execute("SELECT pg_advisory_xact_lock(2718)")
        write = asyncio.create_task(database.fetch("alice", LATE, {}))
        await until(lambda: cluster.scalar(waiting))
        yield write, cluster.scalar(waiting)


async def test_a_write_is_not_acknowledged_before_it_is_committed(citus_db: Cluster) -> None:
    async with open_database(citus_db.app, kind="citus") as database, time_limit():
        async with committing(database, citus_db) as (write, _):
            assert not write.done()
        assert await write == [(b"1",)]
    assert citus_db.scalar("SELECT count(*) FROM todo.late") == 1


async def test_the_outcome_is_unknown_if_the_connection_is_lost_during_the_commit(
    citus_db: Cluster,
) -> None:
    async with (
        open_database(citus_db.app, kind="citus") as database,
        time_limit(),
        committing(database, citus_db) as (write, pid),
    ):
        citus_db.scalar(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(OutcomeUnknown):
            await write


async def test_the_outcome_is_unknown_if_a_worker_is_lost_during_the_commit(
    citus_db: Cluster,
) -> None:
    citus_db.execute(LATE_TRIGGER.format("RAISE SQLSTATE '08006'"))
    async with open_database(citus_db.app, kind="citus", pool_size=1) as database, time_limit():
        with pytest.raises(OutcomeUnknown):
            await database.fetch("alice", LATE, {})
        assert await database.fetch("bob", WHO, {}) == [(b"todo_serving", b"bob")]


async def test_nothing_has_happened_if_a_worker_is_lost_before_the_commit(
    database: Database,
) -> None:
    lost = b"DO $$ BEGIN RAISE SQLSTATE '08006'; END $$"
    with pytest.raises(Unavailable) as failure:
        await database.fetch("alice", Statement(lost, (), writes=True), {})
    assert not isinstance(failure.value, OutcomeUnknown)


async def test_a_read_has_no_unknown_outcome_whatever_becomes_of_its_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Query(b"DO $$ BEGIN RAISE SQLSTATE '08006'; END $$", ())
    monkeypatch.setattr(database, "_end", (SYNC, lost))
    with pytest.raises(Unavailable) as failure:
        await database.fetch("alice", WHO, {})
    assert not isinstance(failure.value, OutcomeUnknown)


async def test_a_violation_found_by_the_commit_is_a_bug(citus_db: Cluster) -> None:
    citus_db.execute(LATE_TRIGGER.format("RAISE unique_violation"))
    async with open_database(citus_db.app, kind="citus") as database, time_limit():
        with pytest.raises(psycopg.errors.UniqueViolation):
            await database.fetch("alice", LATE, {})
    assert citus_db.scalar("SELECT count(*) FROM todo.late") == 0
