"""The result of each statement about tasks."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast
from uuid import uuid4

import pytest

from harness.cluster import Cluster, new_user_id, open_database
from models.errors import NotFound, PermissionDenied, VersionConflict
from models.lists import TaskPage, list_tasks
from models.postgres.database import Database
from models.tasks import (
    StoredTask,
    complete_task,
    create_task,
    delete_task,
    get_task,
    update_task,
)
from openapi.types import SortKey, StatusFilter, TaskCreate, TaskUpdate

pytestmark = pytest.mark.anyio

KEYS = (
    "id",
    "user_id",
    "title",
    "description",
    "completed",
    "priority",
    "due_date",
    "remind_at",
    "tags",
    "completed_at",
    "created_at",
    "updated_at",
)
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
Access = Callable[[Database, str, str, Any], Awaitable[object]]
WRITES: dict[str, Access] = {
    "update": lambda database, user, task_id, versions: update_task(
        database, user, task_id, {"title": "changed"}, versions
    ),
    "complete": lambda database, user, task_id, versions: complete_task(
        database, user, task_id, None, versions
    ),
    "delete": delete_task,
}
READS: dict[str, Access] = {
    "get": lambda database, user, task_id, _versions: get_task(database, user, task_id)
}
write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
access = pytest.mark.parametrize("access", (READS | WRITES).values(), ids=READS | WRITES)


def as_dict(stored: StoredTask) -> dict[str, Any]:
    task: dict[str, Any] = json.loads(stored.json)
    return task


async def list_as_dicts(
    database: Database,
    user: str,
    status: StatusFilter = "all",
    sort: SortKey = "created",
    limit: int = 10_000,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], TaskPage]:
    page = await list_tasks(
        database, user, status=status, sort=sort, limit=limit, offset=offset
    )
    tasks = json.loads(page.json)
    assert page.count == len(tasks)
    return tasks, page


async def titles(database: Database, user: str, **options: Any) -> list[str]:
    tasks, _ = await list_as_dicts(database, user, **options)
    return [task["title"] for task in tasks]


async def test_a_created_task_has_every_field_in_the_contracts_order(
    database: Database,
) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "Water the plants"})
    task = as_dict(stored)
    assert tuple(task) == KEYS
    assert task == {
        "id": str(stored.id),
        "user_id": alice,
        "title": "Water the plants",
        "description": None,
        "completed": False,
        "priority": None,
        "due_date": None,
        "remind_at": None,
        "tags": [],
        "completed_at": None,
        "created_at": task["created_at"],
        "updated_at": task["created_at"],
    }


async def test_a_created_task_has_the_given_fields(database: Database) -> None:
    fields: TaskCreate = {
        "title": "Καλημέρα \"' \\ %s $1 \x7f 🌍",
        "description": "",
        "completed": True,
        "priority": "urgent",
        "tags": ["b", "a", "\"'\\ {},🌍", "NULL", ""],
    }
    due = datetime(2026, 11, 20, 21, 0, 0, 123456, timezone(timedelta(hours=2)))
    fields["due_date"] = fields["remind_at"] = due
    task = as_dict(await create_task(database, new_user_id(), fields))
    instant = "2026-11-20T19:00:00.123456Z"
    assert task | fields == task | {"due_date": due, "remind_at": due}
    assert task["due_date"] == task["remind_at"] == instant
    assert task["completed_at"] == task["created_at"]


async def test_versions_begin_at_the_clock_and_go_up_by_one_with_every_write(
    database: Database,
) -> None:
    alice = new_user_id()
    before = time.time_ns() // 1000
    first = await create_task(database, alice, {"title": "x"})
    assert abs(first.version - before) < 60_000_000  # a minute
    second = await create_task(database, alice, {"title": "y"})
    third = await update_task(database, alice, first.id, {"title": "x"}, None)
    fourth = await complete_task(database, alice, second.id, None, None)
    versions = [stored.version - first.version for stored in (first, second, third, fourth)]
    assert versions == [0, 1, 2, 3]


async def test_a_write_that_fails_does_not_change_the_revision(database: Database) -> None:
    alice, bob = new_user_id(), new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    for write in WRITES.values():
        with pytest.raises(VersionConflict):
            await write(database, alice, stored.id, [1])
        with pytest.raises(NotFound):
            await write(database, alice, str(uuid4()), None)
        with pytest.raises(PermissionDenied):
            await write(database, bob, stored.id, None)
    _, page = await list_as_dicts(database, alice)
    assert page.revision == stored.version


async def test_completed_at_is_when_the_task_was_completed(database: Database) -> None:
    alice = new_user_id()
    task_id = (await create_task(database, alice, {"title": "x"})).id
    completed = as_dict(await complete_task(database, alice, task_id, None, None))
    assert completed["completed_at"] == completed["updated_at"]
    for change in ({"completed": True}, {"title": "y"}):
        later = as_dict(
            await update_task(database, alice, task_id, cast("TaskUpdate", change), None)
        )
        assert later["completed_at"] == completed["completed_at"]
    again = as_dict(await complete_task(database, alice, task_id, True, None))  # noqa: FBT003
    assert again["completed_at"] == completed["completed_at"]
    pending = as_dict(await complete_task(database, alice, task_id, None, None))
    assert pending["completed_at"] is None


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
async def test_timestamps_are_utc_in_any_server_time_zone(
    zone: str, scratch_db: Cluster
) -> None:
    due = datetime(2026, 7, 1, tzinfo=UTC)
    scratch_db.execute(f"ALTER DATABASE {scratch_db.name} SET timezone = '{zone}'")
    async with open_database(scratch_db.app) as database:
        before = datetime.now(UTC)
        task = as_dict(
            await create_task(database, new_user_id(), {"title": "x", "due_date": due})
        )
        after = datetime.now(UTC)
    assert task["due_date"] == "2026-07-01T00:00:00.000000Z"
    created = datetime.strptime(task["created_at"], INSTANT).replace(tzinfo=UTC)
    assert before <= created <= after


@pytest.mark.parametrize(
    ("due", "text"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
        (
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            "9999-12-31T23:59:59.999999Z",
        ),
    ],
)
async def test_due_dates_reach_from_the_year_1_to_the_year_9999(
    due: datetime, text: str, database: Database
) -> None:
    fields: TaskCreate = {"title": "x", "due_date": due}
    assert as_dict(await create_task(database, new_user_id(), fields))["due_date"] == text


async def test_get_returns_the_task_as_stored(database: Database) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x", "description": "y"})
    assert await get_task(database, alice, stored.id) == stored


@pytest.mark.parametrize(
    "change",
    [
        {"title": "new"},
        {"description": "new"},
        {"description": ""},
        {"description": None},
        {"completed": True},
        {"priority": "low"},
        {"priority": None},
        {"due_date": None},
        {"remind_at": None},
        {"tags": []},
        {"tags": ["b", "a"]},
        {"title": "new", "description": None, "completed": True, "priority": "medium"},
    ],
    ids=str,
)
async def test_an_update_changes_only_the_given_fields(
    change: TaskUpdate, database: Database
) -> None:
    alice = new_user_id()
    fields: TaskCreate = {
        "title": "old",
        "description": "old",
        "priority": "high",
        "due_date": datetime(2026, 1, 1, tzinfo=UTC),
        "remind_at": datetime(2026, 1, 1, tzinfo=UTC),
        "tags": ["a"],
    }
    stored = await create_task(database, alice, fields)
    before = as_dict(stored)
    changed = await update_task(database, alice, stored.id, change, None)
    after = as_dict(changed)
    assert changed.version == stored.version + 1
    assert after["updated_at"] > before["updated_at"]
    expected = {**before, **change, "updated_at": after["updated_at"]}
    if "completed" in change:
        expected["completed_at"] = after["updated_at"]
    assert after == expected
    assert await get_task(database, alice, stored.id) == changed


async def test_an_update_can_set_a_due_date(database: Database) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    due: TaskUpdate = {"due_date": datetime(2026, 1, 2, tzinfo=UTC)}
    changed = await update_task(database, alice, stored.id, due, None)
    assert as_dict(changed)["due_date"] == "2026-01-02T00:00:00.000000Z"


async def test_a_change_never_goes_back_in_time(scratch_db: Cluster) -> None:
    alice = new_user_id()
    async with open_database(scratch_db.app) as database:
        stored = await create_task(database, alice, {"title": "x"})
        scratch_db.execute("UPDATE todo.tasks SET updated_at = '2999-01-01 00:00Z'")
        changed = await update_task(database, alice, stored.id, {"title": "y"}, None)
    assert as_dict(changed)["updated_at"] == "2999-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("value", [False, True, None])
async def test_complete_sets_a_given_value_and_toggles_without_one(
    *, before: bool, value: bool | None, database: Database
) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x", "completed": before})
    changed = await complete_task(database, alice, stored.id, value, None)
    assert as_dict(changed)["completed"] is ((not before) if value is None else value)
    assert changed.version == stored.version + 1


async def test_delete_removes_only_that_task(database: Database) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    other = await create_task(database, alice, {"title": "other"})
    await delete_task(database, alice, stored.id, None)
    with pytest.raises(NotFound):
        await get_task(database, alice, stored.id)
    assert await get_task(database, alice, other.id) == other


@access
async def test_an_unknown_id_is_not_found(access: Access, database: Database) -> None:
    for versions in (None, [1]):
        with pytest.raises(NotFound):
            await access(database, new_user_id(), str(uuid4()), versions)


@access
async def test_another_users_task_is_denied_and_unchanged(
    access: Access, database: Database
) -> None:
    alice, bob = new_user_id(), new_user_id()
    stored = await create_task(database, alice, {"title": "alice's"})
    for versions in (None, [1]):
        with pytest.raises(PermissionDenied):
            await access(database, bob, stored.id, versions)
    assert await get_task(database, alice, stored.id) == stored


@write
@pytest.mark.parametrize("versions", [[], [1], [0], [-1], [2**63], [10**40], range(2, 50)])
async def test_a_version_conflict_leaves_the_task_unchanged(
    write: Access, versions: list[int], database: Database
) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    for others in (versions, [stored.version - 1, stored.version + 1, *versions]):
        with pytest.raises(VersionConflict):
            await write(database, alice, stored.id, others)
    assert await get_task(database, alice, stored.id) == stored


@write
@pytest.mark.parametrize("others", [None, [], [1], [2**70]])
async def test_a_task_at_an_expected_version_is_written(
    write: Access, others: list[int] | None, database: Database
) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    versions = None if others is None else [*others, stored.version]
    await write(database, alice, stored.id, versions)
    with pytest.raises((NotFound, VersionConflict)):
        await write(database, alice, stored.id, [stored.version])


async def test_a_new_user_has_an_empty_list(database: Database) -> None:
    _, page = await list_as_dicts(database, new_user_id())
    assert page == TaskPage(revision=0, json=b"[]", count=0, total=0, offset=0)


async def test_a_list_shows_the_same_bytes_as_each_task(database: Database) -> None:
    alice = new_user_id()
    stored = [await create_task(database, alice, {"title": f"{n}"}) for n in range(3)]
    _, page = await list_as_dicts(database, alice, sort="title")
    assert page.json == b"[%b]" % b",".join(task.json for task in stored)


async def test_the_status_filters(database: Database) -> None:
    alice = new_user_id()
    for title, completed in (("a", True), ("b", False), ("c", True)):
        await create_task(database, alice, {"title": title, "completed": completed})
    assert await titles(database, alice, status="all", sort="title") == ["a", "b", "c"]
    assert await titles(database, alice, status="completed", sort="title") == ["a", "c"]
    assert await titles(database, alice, status="pending", sort="title") == ["b"]


async def test_created_sorts_newest_first(database: Database) -> None:
    alice = new_user_id()
    for title in "abc":
        await create_task(database, alice, {"title": title})
    assert await titles(database, alice, sort="created") == ["c", "b", "a"]


async def test_title_sorts_from_a_to_z_ignoring_case(database: Database) -> None:
    alice = new_user_id()
    expected = ["10", "9", "apple", "Banana", "cherry", "Éclair", "élan", "Ünder", "日本"]
    for title in reversed(expected):
        await create_task(database, alice, {"title": title})
    assert await titles(database, alice, sort="title") == expected


async def test_due_date_sorts_soonest_first_and_without_one_last(database: Database) -> None:
    alice = new_user_id()
    for title, day in (("none", None), ("third", 3), ("first", 1), ("second", 2)):
        due = datetime(2026, 1, day, tzinfo=UTC) if day else None
        await create_task(database, alice, {"title": title, "due_date": due})
    expected = ["first", "second", "third", "none"]
    assert await titles(database, alice, sort="due_date") == expected


@pytest.mark.parametrize(
    ("sort", "reverse"),
    [
        ("created", True),
        ("title", False),
        ("due_date", False),
        ("priority", True),
        ("updated", True),
    ],
)
async def test_ties_are_broken_by_the_id(
    *, sort: SortKey, reverse: bool, scratch_db: Cluster
) -> None:
    alice = new_user_id()
    async with open_database(scratch_db.app) as database:
        for title in ("Same", "same", "SAME") * 4:
            await create_task(database, alice, {"title": title})
        scratch_db.execute(
            "UPDATE todo.tasks SET created_at = '2026-01-01', updated_at = '2026-01-01'"
        )
        tasks, _ = await list_as_dicts(database, alice, sort=sort)
    ids = [task["id"] for task in tasks]
    assert ids == sorted(ids, reverse=reverse)


@pytest.mark.parametrize("status", ["all", "pending", "completed"])
@pytest.mark.parametrize("sort", ["created", "title", "due_date", "priority", "updated"])
async def test_pages_make_up_the_list_and_have_the_total(
    status: StatusFilter, sort: SortKey, database: Database
) -> None:
    alice = new_user_id()
    for n in range(14):
        due = datetime(2026, 1, n // 3 + 1, tzinfo=UTC) if n % 3 else None
        await create_task(
            database,
            alice,
            {"title": f"{n % 4}", "completed": n % 2 == 0, "due_date": due},
        )
    all_tasks, full_page = await list_as_dicts(database, alice, status, sort)
    assert full_page.total == len(all_tasks) == (14 if status == "all" else 7)
    for limit in (1, 3, 7, 14, 15):
        for offset in range(0, 16, limit):
            tasks, page = await list_as_dicts(database, alice, status, sort, limit, offset)
            assert tasks == all_tasks[offset : offset + limit]
            assert page.total == full_page.total


async def test_a_page_past_the_end_is_empty_and_has_the_total(database: Database) -> None:
    alice = new_user_id()
    stored = await create_task(database, alice, {"title": "x"})
    _, page = await list_as_dicts(database, alice, limit=10, offset=10**12)
    assert page == TaskPage(stored.version, json=b"[]", count=0, total=1, offset=10**12)
