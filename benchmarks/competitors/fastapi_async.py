"""FastAPI and asynchronous SQLAlchemy, with every documented optimisation.

Core statements instead of the ORM, built once; asyncpg, which prepares them; autocommit
for single statements; orjson instead of a response model; a cache of verified tokens;
uvloop and httptools.
"""

# mypy: disallow-untyped-decorators=false
# (FastAPI is not installed in the environment that mypy runs in.)

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import orjson
import sqlalchemy as sa
import tokens
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:", 1)
POOL_SIZE = int(os.environ["POOL_SIZE"])

engine = create_async_engine(
    URL,
    pool_size=POOL_SIZE,
    max_overflow=0,
    pool_reset_on_return=None,
    isolation_level="AUTOCOMMIT",
    connect_args={"server_settings": {"search_path": "todo", "timezone": "UTC"}},
)
tasks = sa.Table(
    "tasks",
    sa.MetaData(),
    sa.Column("id", sa.Uuid),
    sa.Column("user_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("completed", sa.Boolean),
    sa.Column("priority", sa.Text),
    sa.Column("due_date", sa.TIMESTAMP(timezone=True)),
    sa.Column("remind_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("tags", sa.ARRAY(sa.Text)),
    sa.Column("completed_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("updated_at", sa.TIMESTAMP(timezone=True)),
)
FIELD_NAMES = tuple(str(column.name) for column in tasks.c)  # orjson requires plain str
Tag = Annotated[str, Field(min_length=1, max_length=50)]


class TaskUpdate(BaseModel, extra="forbid"):
    """The body of an update."""

    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False
    priority: Literal["low", "medium", "high", "urgent"] | None = None
    due_date: AwareDatetime | None = None
    remind_at: AwareDatetime | None = None
    tags: list[Tag] = Field(default=[], max_length=20)


class TaskCreate(TaskUpdate):
    """The body of a create request."""

    title: str = Field(min_length=1, max_length=200)


SORT_ORDERS: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
    "created": (tasks.c.created_at.desc(), tasks.c.id.desc()),
    "title": (sa.collate(sa.func.lower(tasks.c.title), "C"), tasks.c.id),
    "due_date": (tasks.c.due_date.asc().nulls_last(), tasks.c.id),
}
OWNED_BY_USER = tasks.c.user_id == sa.bindparam("owner")
ONE_TASK = OWNED_BY_USER & (tasks.c.id == sa.bindparam("task"))


def list_statement(status: str, sort: str) -> sa.Select[Any]:
    """Return the statement that selects a page of a user's tasks."""
    statement = sa.select(tasks).where(OWNED_BY_USER)
    if status != "all":
        statement = statement.where(tasks.c.completed.is_(status == "completed"))
    limit, offset = (
        sa.bindparam("limit", type_=sa.Integer),
        sa.bindparam("offset", type_=sa.Integer),
    )
    return statement.order_by(*SORT_ORDERS[sort]).limit(limit).offset(offset)


LIST_STATEMENTS = {
    (status, sort): list_statement(status, sort)
    for status in ("all", "pending", "completed")
    for sort in SORT_ORDERS
}
GET = sa.select(tasks).where(ONE_TASK)
CREATE = (
    sa.insert(tasks)
    .values(user_id=sa.bindparam("owner"), id=sa.bindparam("task"))
    .values({name: sa.bindparam(name) for name in TaskCreate.model_fields})
    .values(completed_at=sa.case((sa.bindparam("completed"), sa.func.now())))
    .returning(tasks)
)
UPDATE = sa.update(tasks).where(ONE_TASK).values(updated_at=sa.func.now()).returning(tasks)
COMPLETE = UPDATE.values(
    completed=sa.not_(tasks.c.completed),
    completed_at=sa.case((sa.not_(tasks.c.completed), sa.func.now())),
)
COMPLETED_AT = sa.func.coalesce(tasks.c.completed_at, sa.func.now())


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the connection pool on shutdown."""
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> str:
    """Return the user's id from the token, or respond with 401."""
    user = tokens.verify(credentials.credentials)
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


CurrentUser = Annotated[str, Depends(current_user)]


@app.get("/api/tasks")
async def list_tasks(
    user: CurrentUser,
    status: Literal["all", "pending", "completed"] = "all",
    sort: Literal["created", "title", "due_date"] = "created",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """List the user's tasks."""
    values = {"owner": user, "limit": limit, "offset": offset}
    rows = await run(LIST_STATEMENTS[status, sort], values)
    return json_response([dict(zip(FIELD_NAMES, row, strict=True)) for row in rows])


@app.post("/api/tasks")
async def create_task(user: CurrentUser, fields: TaskCreate) -> Response:
    """Insert a task."""
    values = {"owner": user, "task": uuid4(), **fields.model_dump()}
    return json_response(one_or_404(await run(CREATE, values)), 201)


@app.get("/api/tasks/{task_id}")
async def get_task(user: CurrentUser, task_id: UUID) -> Response:
    """Get a task."""
    return json_response(one_or_404(await run(GET, {"owner": user, "task": task_id})))


@app.put("/api/tasks/{task_id}")
async def update_task(user: CurrentUser, task_id: UUID, fields: TaskUpdate) -> Response:
    """Update the given fields."""
    given: dict[str, Any] = fields.model_dump(exclude_unset=True)
    if "completed" in given:
        given["completed_at"] = COMPLETED_AT if given["completed"] else None
    statement = UPDATE.values(given)
    return json_response(one_or_404(await run(statement, {"owner": user, "task": task_id})))


@app.patch("/api/tasks/{task_id}/complete")
async def complete_task(user: CurrentUser, task_id: UUID) -> Response:
    """Toggle `completed`."""
    return json_response(one_or_404(await run(COMPLETE, {"owner": user, "task": task_id})))


async def run(statement: sa.Executable, values: dict[str, Any]) -> list[sa.Row[Any]]:
    """Execute one statement in autocommit mode; return its rows."""
    async with engine.connect() as connection:
        return list(await connection.execute(statement, values))


def one_or_404(rows: list[sa.Row[Any]]) -> dict[str, Any]:
    """Return the only row as a dict, or respond with 404."""
    if not rows:
        raise HTTPException(404, "No task has this id.")
    return dict(zip(FIELD_NAMES, rows[0], strict=True))


def json_response(content: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(content, default=str), status, media_type="application/json")
