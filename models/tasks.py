"""What can be done with a person's tasks.

The JSON of tasks passes through Python as PostgreSQL keeps it: a list of thousands costs
it no more than a single task.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models import task
from models.database import Database
from models.errors import NotFound, NotYours, Stale
from models.statements import Statement
from models.task import Sort, Status

_NOTHING: dict[str, Any] = dict.fromkeys(task.NEW.values())


class StoredTask(NamedTuple):
    """One task as it is stored."""

    id: str
    version: int
    """1 when created, and one more with every change."""
    json: bytes
    """The task as a JSON object, in UTF-8."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some of a person's tasks, in order."""

    json: bytes
    """The tasks as a JSON array, in UTF-8."""
    count: int
    """How many are here."""
    total: int
    """How many match in all, here and on other pages."""


async def list_tasks(
    database: Database, user_id: str, *, status: Status, sort: Sort, limit: int, offset: int
) -> TaskPage:
    """List up to `limit` (1 or more) of the user's tasks, after the first `offset`.

    Sorts: `created` newest first; `title` A to Z ignoring case; `due_date` soonest first,
    those without one last. The id breaks ties. Raises Unavailable.
    """
    values = {"limit": limit, "offset": offset}
    ((json, count, total),) = await database.fetch(user_id, task.LIST[status, sort], values)
    return TaskPage(json, int(count), int(total))


async def create_task(
    database: Database, user_id: str, fields: Mapping[str, Any]
) -> StoredTask:
    """Store a new task: a `title`, and what else is given. Raises Unavailable."""
    ((version, json, task_id),) = await database.fetch(user_id, task.CREATE, _values(fields))
    return StoredTask(task_id.decode(), int(version), json)


async def get_task(database: Database, user_id: str, task_id: str) -> StoredTask:
    """Find a task of the user's. Raises NotFound, NotYours, Unavailable."""
    version, json = await _one(database, user_id, task.GET, task_id, None)
    return StoredTask(task_id, int(version), json)


async def update_task(
    database: Database,
    user_id: str,
    task_id: str,
    changes: Mapping[str, Any],
    versions: Collection[int] | None,
) -> StoredTask:
    """Change the fields that are given; None clears one that can be null.

    Only a task whose version is among `versions` is changed; None means any. Raises Stale,
    NotFound, NotYours, Unavailable.
    """
    values = _values(changes) | {flag: name in changes for name, flag in task.SET.items()}
    version, json = await _one(database, user_id, task.UPDATE, task_id, versions, **values)
    return StoredTask(task_id, int(version), json)


async def complete_task(
    database: Database,
    user_id: str,
    task_id: str,
    completed: bool | None,  # noqa: FBT001 (callers name it)
    versions: Collection[int] | None,
) -> StoredTask:
    """Set `completed`, or flip it if that is None. `versions`, errors: see `update_task`."""
    version, json = await _one(
        database, user_id, task.COMPLETE, task_id, versions, new_completed=completed
    )
    return StoredTask(task_id, int(version), json)


async def delete_task(
    database: Database, user_id: str, task_id: str, versions: Collection[int] | None
) -> None:
    """Remove a task for good. `versions` and errors: see `update_task`."""
    await _one(database, user_id, task.DELETE, task_id, versions)


def _values(fields: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(_NOTHING)
    for name, value in fields.items():
        values[task.NEW[name]] = value
    return values


async def _one(
    database: Database,
    user_id: str,
    statement: Statement,
    task_id: str,
    versions: Collection[int] | None,
    **values: Any,
) -> tuple[Any, ...]:
    """Run a statement about one task and return its row, or raise why there is none."""
    if versions is not None:  # others than these no task can have, nor PostgreSQL compare
        values["versions"] = [version for version in versions if 0 < version < 2**63]
    rows = await database.fetch(
        user_id, statement, {"task_id": task_id, "versions": None, **values}
    )
    if rows:
        return rows[0]
    ((whose,),) = await database.fetch(user_id, task.WHOSE, {"task_id": task_id})
    if whose == b"theirs":
        raise NotYours
    if whose == b"mine" and versions is not None:
        raise Stale
    raise NotFound
