"""The backfill: it stores the JSON of tasks from before an upgrade, beside the service."""

import asyncio
import json

import psycopg
import pytest

from harness.blocking import until
from harness.cluster import Cluster, new_user_id, open_database
from models import backfill
from models.backfill import all_user_ids, store_json
from models.lists import list_tasks
from models.queries.backfill import BATCH
from models.queries.representation import REPRESENTATION_VERSION
from models.tasks import create_task

pytestmark = pytest.mark.anyio

CURRENT = f"representation_version = {REPRESENTATION_VERSION}"
OUTDATED = f"SELECT count(*) FROM todo.tasks WHERE ({CURRENT}) IS NOT TRUE"
VERSIONS = (
    "SELECT string_agg(t.version::text || u.revision, ' ' ORDER BY t.id)"
    " FROM todo.tasks t JOIN todo.users u ON u.id = t.user_id"
)
FORCED = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'todo.users'::regclass"

WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'todo.users'::regclass"
)


async def create_outdated_tasks(cluster: Cluster, *users: str, count: int) -> None:
    """Create as many tasks of each user, and one more that is up to date."""
    async with open_database(cluster.app) as database:
        for user in users:
            for number in range(count):
                await create_task(database, user, {"title": f"{number}"})
        cluster.execute(
            "UPDATE todo.tasks SET representation = NULL, representation_version = 1"
        )
        for user in users:
            await create_task(database, user, {"title": "new"})


async def run(cluster: Cluster) -> int:
    async with open_database(cluster.app) as database:
        return await store_json(database, all_user_ids(cluster.owner))


async def test_the_json_of_every_outdated_task_is_stored_and_nothing_else_changes(
    scratch_db: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "PAGE", 2)
    users = [new_user_id() for _ in range(5)]
    await create_outdated_tasks(scratch_db, *users, count=3)
    versions = scratch_db.scalar(VERSIONS)
    current = f"SELECT array_agg(ctid ORDER BY id)::text FROM todo.tasks WHERE {CURRENT}"
    untouched = scratch_db.scalar(current.replace("WHERE", "WHERE title = 'new' AND"))
    async with open_database(scratch_db.app) as database:
        before = [(await list_tasks(database, user, limit=10)).json for user in users]
        assert await run(scratch_db) == 15
        assert [(await list_tasks(database, user, limit=10)).json for user in users] == before
    assert scratch_db.scalar(OUTDATED) == 0
    assert (
        scratch_db.scalar("SELECT count(*) FROM todo.tasks WHERE representation IS NULL") == 0
    )
    assert scratch_db.scalar(VERSIONS) == versions
    assert scratch_db.scalar(current.replace("WHERE", "WHERE title = 'new' AND")) == untouched
    assert scratch_db.scalar(FORCED)
    assert await run(scratch_db) == 0


async def test_a_user_may_have_more_tasks_than_a_batch(scratch_db: Cluster) -> None:
    user = new_user_id()
    scratch_db.execute(f"""
        INSERT INTO todo.users (id) VALUES ('{user}');
        INSERT INTO todo.tasks (user_id, id, title)
        SELECT '{user}', gen_random_uuid(), n FROM generate_series(1, {BATCH + 1}) AS n
    """)
    assert await run(scratch_db) == BATCH + 1
    assert scratch_db.scalar(OUTDATED) == 0


async def test_a_task_that_is_being_written_is_not_waited_for(scratch_db: Cluster) -> None:
    user = new_user_id()
    await create_outdated_tasks(scratch_db, user, count=2)
    with psycopg.connect(scratch_db.superuser) as other:
        other.execute("SELECT FROM todo.tasks WHERE title = '0' FOR UPDATE")
        assert await run(scratch_db) == 1
    assert scratch_db.scalar(OUTDATED) == 1


async def test_while_users_are_locked_it_waits_without_blocking_the_service(
    scratch_db: Cluster,
) -> None:
    user = new_user_id()
    await create_outdated_tasks(scratch_db, user, count=1)
    async with open_database(scratch_db.app) as database:
        with psycopg.connect(scratch_db.superuser) as backup:
            backup.execute("LOCK TABLE todo.users IN ACCESS SHARE MODE")
            backfilling = asyncio.create_task(
                asyncio.to_thread(lambda: [*all_user_ids(scratch_db.owner)])
            )
            await until(lambda: scratch_db.scalar(WAITING))
            assert (await list_tasks(database, user, limit=10)).json != b"[]"
            assert not backfilling.done()
        assert await backfilling == [user]
    assert scratch_db.scalar(FORCED)


async def test_stored_json_is_what_was_read_before(scratch_db: Cluster) -> None:
    user = new_user_id()
    await create_outdated_tasks(scratch_db, user, count=1)
    await run(scratch_db)
    async with open_database(scratch_db.app) as database:
        tasks = json.loads((await list_tasks(database, user, limit=10)).json)
    stored = scratch_db.scalar("SELECT json_agg(representation::json) FROM todo.tasks")
    assert sorted(stored, key=str) == sorted(tasks, key=str)
