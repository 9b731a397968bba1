"""What can be done with a user's tasks.

The JSON of tasks passes through Python as PostgreSQL stores it: a list of thousands costs no
more than a single task.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from models import queries
from models.errors import NotFound, PermissionDenied, VersionConflict
from models.postgres.database import Database
from models.postgres.statements import Statement
from openapi.types import Sort, Status, TaskCreate, TaskUpdate


class StoredTask(NamedTuple):
    """One task as it is stored."""

    id: str
    version: int
    """1 when created, and one more with every change."""
    json: bytes
    """The task as a JSON object, in UTF-8."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a user's tasks, in order."""

    json: bytes
    """The tasks as a JSON array, in UTF-8."""
    count: int
    """The number of tasks on this page."""
    total: int
    """The number of tasks on all pages."""


async def list_tasks(
    database: Database, user_id: str, *, status: Status, sort: Sort, limit: int, offset: int
) -> TaskPage:
    """List up to `limit` (1 or more) of the user's tasks, after the first `offset`.

    Sorts: `created` newest first; `title` A to Z ignoring case; `due_date` soonest first,
    tasks without one last. The id breaks ties. Raises Unavailable.
    """
    values = {"limit": limit, "offset": offset}
    rows = await database.fetch(user_id, queries.LIST[status, sort], values)
    ((json, count, total),) = rows
    return TaskPage(json, int(count), int(total))


async def create_task(database: Database, user_id: str, fields: TaskCreate) -> StoredTask:
    """Store a new task. Raises Unavailable."""
    rows = await database.fetch(user_id, queries.CREATE, _values(**fields))
    ((version, json, task_id),) = rows
    return StoredTask(task_id.decode(), int(version), json)


async def get_task(database: Database, user_id: str, task_id: str) -> StoredTask:
    """Return one of the user's tasks. Raises NotFound, PermissionDenied, Unavailable."""
    version, json = await _fetch_one(database, user_id, queries.GET, task_id, None)
    return StoredTask(task_id, int(version), json)


async def update_task(
    database: Database,
    user_id: str,
    task_id: str,
    changes: TaskUpdate,
    versions: Collection[int] | None,
) -> StoredTask:
    """Change the given fields; None clears a nullable one.

    The task is changed only if its version is among `versions`; None means any version.
    Raises VersionConflict, NotFound, PermissionDenied, Unavailable.
    """
    flags = {flag: name in changes for name, flag in queries.SET_FLAGS.items()}
    version, json = await _fetch_one(
        database, user_id, queries.UPDATE, task_id, versions, **_values(**changes), **flags
    )
    return StoredTask(task_id, int(version), json)


async def complete_task(
    database: Database,
    user_id: str,
    task_id: str,
    completed: bool | None,  # noqa: FBT001 (callers name it)
    versions: Collection[int] | None,
) -> StoredTask:
    """Set `completed`, or toggle it if that is None. `versions`, errors: see `update_task`."""
    version, json = await _fetch_one(
        database, user_id, queries.COMPLETE, task_id, versions, new_completed=completed
    )
    return StoredTask(task_id, int(version), json)


async def delete_task(
    database: Database, user_id: str, task_id: str, versions: Collection[int] | None
) -> None:
    """Delete a task for good. `versions` and errors: see `update_task`."""
    await _fetch_one(database, user_id, queries.DELETE, task_id, versions)


def _values(
    *,
    title: str | None = None,
    description: str | None = None,
    completed: bool | None = None,
    priority: str | None = None,
    due_date: datetime | None = None,
) -> dict[str, Any]:
    """Return the fields as parameters of a statement; None for those that are not given.

    Spelled out so that mypy rejects a field of the contract that is not stored.
    """
    return {
        "new_title": title,
        "new_description": description,
        "new_completed": completed,
        "new_priority": priority,
        "new_due_date": due_date,
    }


async def _fetch_one(
    database: Database,
    user_id: str,
    statement: Statement,
    task_id: str,
    versions: Collection[int] | None,
    **values: Any,
) -> tuple[Any, ...]:
    """Run a statement about one task and return its row, or raise why there is none."""
    if versions is not None:  # no task has any other version, nor can PostgreSQL compare it
        values["versions"] = [version for version in versions if 0 < version < 2**63]
    rows = await database.fetch(
        user_id, statement, {"task_id": task_id, "versions": None, **values}
    )
    if rows:
        return rows[0]
    ((owner,),) = await database.fetch(user_id, queries.OWNERSHIP, {"task_id": task_id})
    if owner == b"other":
        raise PermissionDenied
    if owner == b"own" and versions is not None:
        raise VersionConflict
    raise NotFound
