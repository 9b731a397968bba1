"""BlackSheep with msgspec, optimised.

Structs decode and validate bodies and queries, instead of BlackSheep's bindings, and are
encoded into responses.
"""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
import tokens
from asyncpg_tasks import Task, TaskCreate, TaskStore, TaskUpdate
from blacksheep import Application, Content, Request, Response
from blacksheep.exceptions import HTTPException


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The query of a list."""

    status: Literal["all", "pending", "completed"] = "all"
    sort: Literal["created", "title", "due_date"] = "created"
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10_000
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


app = Application()
store = TaskStore()
encoder = msgspec.json.Encoder()
create_decoder = msgspec.json.Decoder(TaskCreate)
update_decoder = msgspec.json.Decoder(TaskUpdate)


@app.on_start
async def connect(_: Application) -> None:
    """Connect to PostgreSQL."""
    await store.open()


@app.on_stop
async def disconnect(_: Application) -> None:
    """Close all connections."""
    await store.close()


@app.exception_handler(msgspec.DecodeError)
@app.exception_handler(msgspec.ValidationError)
async def bad_request(_: Application, __: Request, error: Exception) -> Response:
    """Respond with 400."""
    return json_response({"detail": str(error)}, 400)


@app.exception_handler(401)
async def unauthorized(_: Application, __: Request, ___: HTTPException) -> Response:
    """Respond with 401."""
    return Response(401, [(b"WWW-Authenticate", b"Bearer")])


def current_user(request: Request) -> str:
    """Return the user's id from the token, or respond with 401."""
    header = request.get_first_header(b"authorization") or b""
    user = tokens.bearer(header.decode())
    if user is None:
        raise HTTPException(401)
    return user


@app.router.get("/api/tasks")
async def list_tasks(request: Request) -> Response:
    """List the user's tasks."""
    user = current_user(request)
    values = {name: texts[-1] for name, texts in request.query.items()}
    query = msgspec.convert(values, ListQuery, strict=False)
    tasks = await store.list_tasks(user, query.status, query.sort, query.limit, query.offset)
    return json_response(tasks)


@app.router.post("/api/tasks")
async def create_task(request: Request) -> Response:
    """Insert a task."""
    user = current_user(request)
    fields = create_decoder.decode(await request.read() or b"")
    return json_or_404(await store.create_task(user, fields), 201)


@app.router.get("/api/tasks/{task_id}")
async def get_task(request: Request, task_id: UUID) -> Response:
    """Get a task."""
    return json_or_404(await store.get_task(current_user(request), str(task_id)))


@app.router.put("/api/tasks/{task_id}")
async def update_task(request: Request, task_id: UUID) -> Response:
    """Update the given fields."""
    user = current_user(request)
    fields = update_decoder.decode(await request.read() or b"")
    return json_or_404(await store.update_task(user, str(task_id), fields))


@app.router.patch("/api/tasks/{task_id}/complete")
async def complete_task(request: Request, task_id: UUID) -> Response:
    """Toggle `completed`."""
    return json_or_404(await store.complete_task(current_user(request), str(task_id)))


def json_or_404(task: Task | None, status: int = 200) -> Response:
    """Return a task as JSON, or respond with 404 if it is None."""
    if task is None:
        raise HTTPException(404, "No task has this id.")
    return json_response(task, status)


def json_response(content: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(status, None, Content(b"application/json", encoder.encode(content)))
