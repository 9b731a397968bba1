"""The task operations of the contract: unpack, call the model, respond.

Every argument is valid and typed, as the contract says; `user` is the `sub` of the verified
token.
"""

from starlette.responses import Response

from handlers.api.conditional import (
    etag_of_bytes,
    etag_of_version,
    if_match_versions,
    not_modified,
)
from handlers.api.pagination import link_header
from handlers.api.responses import JSONBytesResponse, RawHeader, header
from models import tasks
from models.postgres.database import Database
from openapi.types import Sort, Status, TaskCompletion, TaskCreate, TaskUpdate


async def list_tasks(
    database: Database,
    user: str,
    *,
    status: Status,
    sort: Sort,
    limit: int,
    offset: int,
    if_none_match: str | None,
) -> Response:
    """List the user's tasks: 200 with a bare array, or 304."""
    page = await tasks.list_tasks(
        database, user, status=status, sort=sort, limit=limit, offset=offset
    )
    headers = [header(b"x-total-count", str(page.total))]
    link = link_header({"status": status, "sort": sort}, limit, offset, page.total)
    if link:
        headers.append(header(b"link", link))
    etag = etag_of_bytes(page.json)
    return _representation(page.json, etag, if_none_match, *headers)


async def create_task(database: Database, user: str, *, fields: TaskCreate) -> Response:
    """Create a task: 201 with the task as stored."""
    stored = await tasks.create_task(database, user, fields)
    location = header(b"location", f"/api/tasks/{stored.id}")
    return JSONBytesResponse(stored.json, location, _etag(stored), status=201)


async def get_task(
    database: Database, user: str, *, task_id: str, if_none_match: str | None
) -> Response:
    """Read a task: 200, or 304."""
    stored = await tasks.get_task(database, user, task_id)
    etag = etag_of_version(stored.version)
    return _representation(stored.json, etag, if_none_match)


async def update_task(
    database: Database,
    user: str,
    *,
    task_id: str,
    fields: TaskUpdate,
    if_match: str | None,
) -> Response:
    """Change the given fields: 200 with the task as it is now."""
    versions = if_match_versions(if_match)
    stored = await tasks.update_task(database, user, task_id, fields, versions)
    return JSONBytesResponse(stored.json, _etag(stored))


patch_task = update_task


async def delete_task(
    database: Database, user: str, *, task_id: str, if_match: str | None
) -> Response:
    """Remove a task for good: 204."""
    await tasks.delete_task(database, user, task_id, if_match_versions(if_match))
    return Response(status_code=204)


async def complete_task(
    database: Database,
    user: str,
    *,
    task_id: str,
    fields: TaskCompletion,
    if_match: str | None,
) -> Response:
    """Toggle `completed`, or set it to the given value: 200 with the task."""
    versions = if_match_versions(if_match)
    stored = await tasks.complete_task(
        database, user, task_id, fields.get("completed"), versions
    )
    return JSONBytesResponse(stored.json, _etag(stored))


def _etag(stored: tasks.StoredTask) -> RawHeader:
    return header(b"etag", etag_of_version(stored.version))


def _representation(
    json: bytes, etag: str, if_none_match: str | None, *headers: RawHeader
) -> Response:
    if not_modified(etag, if_none_match):
        return Response(status_code=304, headers={"ETag": etag})
    return JSONBytesResponse(json, header(b"etag", etag), *headers)
