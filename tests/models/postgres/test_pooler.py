"""Behind PgBouncer in transaction mode: connections are shared, identities are not."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from harness.cluster import Cluster, new_user_id, open_database
from harness.pgbouncer import PgBouncer, requires_pgbouncer
from harness.postgres import Postgres
from harness.waiting import poll_until, time_limit
from models import migrate
from models.errors import PermissionDenied, Unavailable
from models.lists import list_tasks
from models.postgres.database import Database
from models.postgres.statements import Statement
from models.role_check import check_app_role
from models.tasks import complete_task, create_task, get_task

TRANSACTIONS = 10_000

# Without a filter: only row security keeps the users apart.
OWNERS = Statement(b"SELECT user_id FROM todo.tasks", (), writes=False)

pytestmark = [pytest.mark.anyio, requires_pgbouncer]


@pytest.fixture
def pooler(scratch_db: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """Run PgBouncer, with fewer server connections than clients."""
    pgbouncer = PgBouncer(scratch_db, tmp_path)
    yield pgbouncer.database
    pgbouncer.stop()


async def use_every_operation(database: Database, user: str) -> None:
    """Run every kind of statement; fail if another user's task is visible."""
    task = await create_task(database, user, {"title": user})
    await complete_task(database, user, task.id, None, None)
    assert json.loads((await get_task(database, user, task.id)).json)["title"] == user
    page = await list_tasks(database, user, status="all", sort="created", limit=99, offset=0)
    assert {task["title"] for task in json.loads(page.json)} == {user}


async def test_users_who_share_connections_see_only_their_own_tasks(
    pooler: Cluster,
) -> None:
    users = [new_user_id() for _ in range(20)]
    async with (
        open_database(pooler.app, pool_size=8) as one,
        open_database(pooler.app, pool_size=8) as two,
        time_limit(),
    ):
        await check_app_role(one)
        await asyncio.gather(
            *(
                use_every_operation(database, user)
                for user in users
                for database in (one, two, one, two)
            )
        )
        task = await create_task(one, users[0], {"title": "x"})
        with pytest.raises(PermissionDenied):
            await get_task(two, users[1], task.id)


@pytest.mark.parametrize("kind", ["postgresql", "citus"])
async def test_two_users_who_alternate_on_few_connections_never_see_each_other(
    kind: str, pooler: Cluster
) -> None:
    users = [b"alice", b"bob"]

    async def alternate(database: Database) -> int:
        strangers = 0
        for number in range(TRANSACTIONS // 20):
            user = users[number % 2]
            owners = {owner for (owner,) in await database.fetch(user.decode(), OWNERS, {})}
            strangers += owners != {user}
        return strangers

    async with (
        open_database(pooler.app, kind=kind, pool_size=10) as database,
        time_limit(),
    ):
        for user in users:
            await create_task(database, user.decode(), {"title": "x"})
        assert await asyncio.gather(*(alternate(database) for _ in range(20))) == 20 * [0]


@pytest.mark.parametrize("kind", ["postgresql", "citus"])
async def test_no_server_connection_stays_assigned_to_a_client(
    kind: str, pooler: Cluster
) -> None:
    console = psycopg.ClientCursor(
        psycopg.connect(
            pooler.with_params(dbname="pgbouncer").owner, autocommit=True, row_factory=dict_row
        )
    )

    async def all_free() -> bool:
        return all(server["state"] != "active" for server in console.execute("SHOW SERVERS"))

    with console.connection:
        async with (
            open_database(pooler.app, kind=kind, pool_size=6) as database,
            time_limit(),
        ):
            for _ in range(300):
                await list_tasks(database, new_user_id(), limit=1)
                await poll_until(all_free)


async def test_text_is_in_utf8_whatever_the_default_of_the_login_is(
    pooler: Cluster, scratch_db: Cluster
) -> None:
    login = f"todo_login IN DATABASE {scratch_db.name}"
    scratch_db.execute(f"ALTER ROLE {login} SET client_encoding = 'LATIN1'")
    async with open_database(pooler.app) as database, time_limit():
        await create_task(database, new_user_id(), {"title": "Ω😀"})
    assert scratch_db.scalar("SELECT char_length(title) FROM todo.tasks") == 2


async def test_migrations_run_through_pgbouncer(pooler: Cluster) -> None:
    migrate.upgrade(pooler.owner, pooler.app)


@pytest.mark.parametrize("kind", ["postgresql", "citus"])
async def test_writes_fail_and_the_service_is_not_ready_while_the_server_is_a_standby(
    kind: str, tmp_path: Path
) -> None:
    postgres = Postgres(tmp_path)
    pgbouncer = None
    try:
        postgres.database.migrate()
        pgbouncer = PgBouncer(postgres.database, tmp_path)
        async with open_database(pgbouncer.database.app, kind=kind) as database, time_limit():
            task = await create_task(database, "alice", {"title": "Before"})
            await asyncio.to_thread(postgres.stop)
            standby = postgres.cluster.pgdata / "standby.signal"
            standby.touch()
            os.chown(standby, *owner_of(postgres.cluster.pgdata))
            await asyncio.to_thread(postgres.start)
            await poll_until(lambda: can_read(database, task.id))
            with pytest.raises(Unavailable):
                await create_task(database, "alice", {"title": "Lost"})
            assert not await database.ready()
    finally:
        if pgbouncer:
            pgbouncer.stop()
        postgres.kill()


async def can_read(database: Database, task_id: str) -> bool:
    try:
        return bool(await get_task(database, "alice", task_id))
    except Unavailable:
        return False


def owner_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
