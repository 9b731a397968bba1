"""The task operations of the contract: unpack, call the model, answer.

Every argument arrives valid and typed, as the contract says; `user` is the
verified token's `sub`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from starlette.responses import Response

from handlers import preconditions
from handlers.answers import JSON, RawHeader, header
from handlers.paging import links
from models import tasks
from models.database import Database


async def list_tasks(
    database: Database,
    user: str,
    *,
    status: Literal["all", "pending", "completed"],
    sort: Literal["created", "title", "due_date"],
    limit: int,
    offset: int,
    if_none_match: str | None,
) -> Response:
    """List the user's tasks: 200 with a bare array, or 304."""
    page = await tasks.list_tasks(
        database, user, status=status, sort=sort, limit=limit, offset=offset
    )
    headers = [header(b"x-total-count", str(page.total))]
    link = links({"status": status, "sort": sort}, limit, offset, page.total)
    if link:
        headers.append(header(b"link", link))
    etag = preconditions.etag_of_bytes(page.json)
    return _representation(page.json, etag, if_none_match, *headers)


async def create_task(database: Database, user: str, *, fields: Mapping[str, Any]) -> Response:
    """Create a task: 201 with the task as stored."""
    stored = await tasks.create_task(database, user, fields)
    location = header(b"location", f"/api/tasks/{stored.id}")
    return JSON(stored.json, location, _etag(stored), status=201)


async def get_task(
    database: Database, user: str, *, task_id: str, if_none_match: str | None
) -> Response:
    """Read a task: 200, or 304."""
    stored = await tasks.get_task(database, user, task_id)
    etag = preconditions.etag_of_version(stored.version)
    return _representation(stored.json, etag, if_none_match)


async def update_task(
    database: Database,
    user: str,
    *,
    task_id: str,
    fields: Mapping[str, Any],
    if_match: str | None,
) -> Response:
    """Change the fields given: 200 with the task as it is now."""
    versions = preconditions.versions(if_match)
    stored = await tasks.update_task(database, user, task_id, fields, versions)
    return JSON(stored.json, _etag(stored))


patch_task = update_task


async def delete_task(
    database: Database, user: str, *, task_id: str, if_match: str | None
) -> Response:
    """Remove a task for good: 204."""
    await tasks.delete_task(database, user, task_id, preconditions.versions(if_match))
    return Response(status_code=204)


async def complete_task(
    database: Database,
    user: str,
    *,
    task_id: str,
    fields: Mapping[str, Any],
    if_match: str | None,
) -> Response:
    """Flip `completed`, or set it to the value given: 200 with the task."""
    versions = preconditions.versions(if_match)
    stored = await tasks.complete_task(
        database, user, task_id, fields.get("completed"), versions
    )
    return JSON(stored.json, _etag(stored))


def _etag(stored: tasks.StoredTask) -> RawHeader:
    return header(b"etag", preconditions.etag_of_version(stored.version))


def _representation(
    json: bytes, etag: str, if_none_match: str | None, *headers: RawHeader
) -> Response:
    if preconditions.is_unchanged(etag, if_none_match):
        return Response(status_code=304, headers={"ETag": etag})
    return JSON(json, header(b"etag", etag), *headers)
