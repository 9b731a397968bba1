"""What can be done with one of a user's tasks, and with all of them."""

from collections.abc import Collection
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple, TypedDict, Unpack

import orjson

from models import queries
from models.errors import KeyReused, NotFound, PermissionDenied, VersionConflict
from models.postgres.database import Database
from models.postgres.statements import Statement
from openapi.types import TaskCreate, TaskUpdate

KEY_RETENTION = "24 hours"
"""How long an idempotency key is kept at least."""


class _ReadOnly(TypedDict, total=False):
    """The fields of an update that are ignored, so that a task can be sent back as read."""

    id: str
    user_id: str
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class StoredTask(NamedTuple):
    """One task as it is stored."""

    id: str
    version: int
    """The user's revision when it was last written."""
    json: bytes
    """The task as a JSON object, in UTF-8."""
    replayed: bool = False
    """Whether it was created by an earlier request with the same idempotency key."""


async def create_task(
    database: Database, user_id: str, fields: TaskCreate, *, key: str | None = None
) -> StoredTask:
    """Store a new task, or return the one stored before with this idempotency key.

    Raises KeyReused if that had other fields; Unavailable.
    """
    values = _values(**fields)
    if key is None:
        ((version, json, task_id),) = await database.fetch(user_id, queries.CREATE, values)
        return StoredTask(task_id.decode(), int(version), json)
    fingerprint = sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()
    values |= {"key": key, "fingerprint": fingerprint, "key_retention": KEY_RETENTION}
    ((version, json, task_id, replayed, is_same),) = await database.fetch(
        user_id, queries.CREATE_ONCE, values
    )
    if is_same == b"f":
        raise KeyReused
    return StoredTask(task_id.decode(), int(version), json, replayed == b"t")


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
    database: Database,
    user_id: str,
    task_id: str,
    versions: Collection[int] | None,
) -> None:
    """Delete a task for good. `versions` and errors: see `update_task`.

    Its id is remembered for the database's `deletion_retention`.
    """
    await _fetch_one(database, user_id, queries.DELETE, task_id, versions)


async def clear_completed_tasks(database: Database, user_id: str) -> None:
    """Delete the user's completed tasks for good; see `delete_task`. Raises Unavailable."""
    await database.fetch(user_id, queries.CLEAR_COMPLETED, {})


async def export_tasks(database: Database, user_id: str) -> list[bytes]:
    """Return all tasks of a user as JSON objects, oldest first. Raises Unavailable."""
    return [json for (json,) in await database.fetch(user_id, queries.EXPORT, {})]


async def erase_user(database: Database, user_id: str) -> bool:
    """Delete everything about a user; return whether there was anything. Raises Unavailable."""
    return bool(await database.fetch(user_id, queries.ERASE, {}))


def _values(
    *,
    title: str | None = None,
    description: str | None = None,
    completed: bool | None = None,
    priority: str | None = None,
    due_date: datetime | None = None,
    remind_at: datetime | None = None,
    tags: list[str] | None = None,
    **_read_only: Unpack[_ReadOnly],
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
        "new_remind_at": remind_at,
        "new_tags": tags,
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
    if versions is not None and await database.fetch(
        user_id, queries.GET, {"task_id": task_id}
    ):
        raise VersionConflict
    # Not the user's, so perhaps another user's; ids are random, so it cannot be new.
    ((exists,),) = await database.fetch(None, queries.EXISTS, {"task_id": task_id})
    raise PermissionDenied if exists == b"t" else NotFound
