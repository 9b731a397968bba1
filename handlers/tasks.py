"""The task operations of the contract: unpack, call the model, respond.

Every argument is valid and typed, as the contract says; `user` is the id of the user whom the
verified token names.
"""

from datetime import datetime

from starlette.responses import Response

from handlers.api.conditional import (
    etag_of_list,
    etag_of_version,
    if_match_versions,
    not_modified,
)
from handlers.api.pagination import decode_cursor, encode_cursor, link_header
from handlers.api.responses import (
    PRIVATE,
    JSONBytesResponse,
    NotModifiedResponse,
    RawHeader,
    header,
)
from models import lists, tasks
from models.lists import TaskFilter
from models.postgres.database import Database
from models.queries import DEFAULT_ORDER
from openapi.types import (
    ClearableStatus,
    PriorityFilter,
    SortKey,
    SortOrder,
    StatusFilter,
    TaskCompletion,
    TaskCreate,
    TaskUpdate,
)


async def list_tasks(  # noqa: PLR0913 (the contract's parameters)
    database: Database,
    user: str,
    *,
    status: StatusFilter,
    completed: bool | None,
    priority: list[PriorityFilter] | None,
    tag: list[str] | None,
    search: str | None,
    due_after: datetime | None,
    due_before: datetime | None,
    sort: SortKey,
    order: SortOrder | None,
    limit: int,
    offset: int,
    cursor: str | None,
    if_none_match: str | None,
) -> Response:
    """List the user's tasks: 200 with a bare array, or 304."""
    direction = order or DEFAULT_ORDER[sort]
    # First: `If-None-Match` must not make a bad cursor a 304.
    after = decode_cursor(cursor, sort, direction) if cursor else None
    if if_none_match is not None:
        # Apart from the list, since just preparing to read that costs PostgreSQL twice as much.
        etag = etag_of_list(await lists.get_revision(database, user))
        if not_modified(etag, if_none_match):
            return NotModifiedResponse(etag)
    page = await lists.list_tasks(
        database,
        user,
        status=status,
        filters=TaskFilter(completed, priority, tag, search, due_after, due_before),
        sort=sort,
        order=direction,
        limit=limit,
        offset=0 if cursor else offset,
        after=after,
    )
    headers = [
        header(b"etag", etag_of_list(page.revision)),
        header(b"x-total-count", str(page.total)),
    ]
    if page.offset or page.total > limit:
        query = {
            "status": status if status != "all" else None,
            "completed": None if completed is None else str(completed).lower(),
            "priority": priority,
            "tag": tag,
            "search": search,
            "due_after": due_after and due_after.isoformat(),
            "due_before": due_before and due_before.isoformat(),
            "sort": sort if sort != "created" else None,
            "order": order,
        }
        given = {name: value for name, value in query.items() if value is not None}
        is_by_offset = offset > 0 and not cursor
        more = encode_cursor(page, sort, direction) if page.count and not is_by_offset else None
        link = link_header(given, page, limit=limit, next_cursor=more)
        if link:
            headers.append(header(b"link", link))
    return JSONBytesResponse(page.json, *headers, *PRIVATE)


async def create_task(
    database: Database, user: str, *, fields: TaskCreate, idempotency_key: str | None
) -> Response:
    """Create a task: 201 with the task as stored."""
    key = idempotency_key.strip('"') if idempotency_key else None
    stored = await tasks.create_task(database, user, fields, key=key)
    headers = [header(b"location", f"/api/tasks/{stored.id}")]
    if stored.replayed:
        headers.append(header(b"idempotency-replayed", "true"))
    return _response(stored, *headers, status=201)


async def clear_completed_tasks(
    database: Database, user: str, *, status: ClearableStatus
) -> Response:
    """Delete the user's completed tasks: 204."""
    assert status == "completed", "the contract has no other"
    await tasks.clear_completed_tasks(database, user)
    return Response(status_code=204)


async def get_task(
    database: Database, user: str, *, task_id: str, if_none_match: str | None
) -> Response:
    """Read a task: 200, or 304."""
    stored = await tasks.get_task(database, user, task_id)
    etag = etag_of_version(stored.version)
    return NotModifiedResponse(etag) if not_modified(etag, if_none_match) else _response(stored)


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
    return _response(await tasks.update_task(database, user, task_id, fields, versions))


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
    completed = fields.get("completed")
    return _response(await tasks.complete_task(database, user, task_id, completed, versions))


def _response(stored: tasks.StoredTask, *headers: RawHeader, status: int = 200) -> Response:
    etag = header(b"etag", etag_of_version(stored.version))
    return JSONBytesResponse(stored.json, etag, *headers, *PRIVATE, status=status)
