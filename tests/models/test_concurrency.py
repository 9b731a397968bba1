"""Concurrent statements: each is atomic in PostgreSQL."""

import asyncio
import json

import pytest

from harness.cluster import Cluster, new_user_id, open_database
from models.errors import NotFound, VersionConflict
from models.lists import list_tasks
from models.postgres.database import Database
from models.tasks import (
    StoredTask,
    complete_task,
    create_task,
    delete_task,
    get_task,
    update_task,
)

pytestmark = pytest.mark.anyio


async def test_concurrent_first_writes_of_a_new_user_all_succeed(cluster: Cluster) -> None:
    alice = new_user_id()
    async with open_database(cluster.app, pool_size=20) as database:
        writes = [create_task(database, alice, {"title": f"{n}"}) for n in range(20)]
        stored = await asyncio.gather(*writes)
        page = await list_tasks(
            database, alice, status="all", sort="created", limit=100, offset=0
        )
    assert {task["id"] for task in json.loads(page.json)} == {str(task.id) for task in stored}
    assert page.total == 20
    assert {task.version for task in stored} == {page.revision - n for n in range(20)}


async def test_of_concurrent_requests_with_one_key_one_creates_the_task(
    cluster: Cluster,
) -> None:
    alice = new_user_id()
    async with open_database(cluster.app, pool_size=10) as database:
        creates = [create_task(database, alice, {"title": "x"}, key="k") for _ in range(30)]
        stored = await asyncio.gather(*creates)
        page = await list_tasks(database, alice, limit=100)
    assert sorted(task.replayed for task in stored) == [False] + 29 * [True]
    assert len({task._replace(replayed=False) for task in stored}) == page.total == 1


@pytest.mark.parametrize("toggles", [100, 101])
async def test_no_toggle_is_lost(toggles: int, cluster: Cluster) -> None:
    alice = new_user_id()
    async with open_database(cluster.app, pool_size=10) as database:
        task = await create_task(database, alice, {"title": "x"})
        flips = [complete_task(database, alice, task.id, None, None) for _ in range(toggles)]
        versions = {flip.version for flip in await asyncio.gather(*flips)}
        last = await get_task(database, alice, task.id)
    assert versions == {task.version + n for n in range(1, toggles + 1)}
    assert last.version == task.version + toggles
    assert json.loads(last.json)["completed"] is (toggles % 2 == 1)


async def test_of_many_updates_of_one_version_one_succeeds(cluster: Cluster) -> None:
    alice = new_user_id()
    async with open_database(cluster.app, pool_size=10) as database:
        task = await create_task(database, alice, {"title": "x"})
        updates = [
            update_task(database, alice, task.id, {"title": f"{n}"}, [task.version])
            for n in range(30)
        ]
        outcomes = await asyncio.gather(*updates, return_exceptions=True)
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 29
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, StoredTask)]
        assert winner == await get_task(database, alice, task.id)


async def test_an_update_and_a_deletion_end_with_the_task_gone(database: Database) -> None:
    alice = new_user_id()
    for _ in range(20):
        task = await create_task(database, alice, {"title": "x"})
        updated, deleted = await asyncio.gather(
            update_task(database, alice, task.id, {"title": "y"}, None),
            delete_task(database, alice, task.id, None),
            return_exceptions=True,
        )
        assert deleted is None
        assert isinstance(updated, StoredTask | NotFound)
        with pytest.raises(NotFound):
            await get_task(database, alice, task.id)


async def test_an_update_and_a_deletion_of_one_version_do_not_both_succeed(
    database: Database,
) -> None:
    alice = new_user_id()
    for _ in range(20):
        task = await create_task(database, alice, {"title": "x"})
        updated, deleted = await asyncio.gather(
            update_task(database, alice, task.id, {"title": "y"}, [task.version]),
            delete_task(database, alice, task.id, [task.version]),
            return_exceptions=True,
        )
        if deleted is None:
            assert isinstance(updated, NotFound)
        else:
            assert isinstance(deleted, VersionConflict)
            assert updated == await get_task(database, alice, task.id)
