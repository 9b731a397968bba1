"""FastAPI and asynchronous SQLAlchemy, with every documented optimisation.

Core statements instead of the ORM, built once; asyncpg, which prepares them; autocommit
for single statements; orjson instead of a response model; a cache of verified tokens;
uvloop and httptools.
"""

# mypy: disallow-untyped-decorators=false
# (FastAPI is not installed in the environment that mypy runs in.)

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import jwt
import orjson
import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

SECRET = os.environ["BETTER_AUTH_SECRET"]
URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:", 1)
POOL_SIZE = int(os.environ["POOL_SIZE"])
MAX_CACHED_TOKENS = 10_000

engine = create_async_engine(
    URL,
    pool_size=POOL_SIZE,
    max_overflow=0,
    pool_reset_on_return=None,
    isolation_level="AUTOCOMMIT",
    connect_args={"server_settings": {"search_path": "todo", "timezone": "UTC"}},
)
tables = sa.MetaData()
users = sa.Table("users", tables, sa.Column("id", sa.Text, primary_key=True))
tasks = sa.Table(
    "tasks",
    tables,
    sa.Column("id", sa.Uuid),
    sa.Column("user_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("completed", sa.Boolean),
    sa.Column("priority", sa.Text),
    sa.Column("due_date", sa.TIMESTAMP(timezone=True)),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("updated_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("version", sa.BigInteger),
)
PUBLIC_COLUMNS = tuple(column for column in tasks.c if column is not tasks.c.version)
FIELD_NAMES = tuple(str(column.name) for column in PUBLIC_COLUMNS)  # orjson requires plain str


class TaskUpdate(BaseModel, extra="forbid"):
    """The body of an update."""

    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False
    priority: Literal["low", "medium", "high"] | None = None
    due_date: AwareDatetime | None = None


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
    statement = sa.select(*PUBLIC_COLUMNS).where(OWNED_BY_USER)
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
GET = sa.select(*PUBLIC_COLUMNS).where(ONE_TASK)
INSERT_USER = insert(users).values(id=sa.bindparam("owner")).on_conflict_do_nothing()
CREATE = (
    sa.insert(tasks)
    .values(user_id=sa.bindparam("owner"), id=sa.bindparam("task"))
    .values({name: sa.bindparam(name) for name in TaskCreate.model_fields})
    .returning(*PUBLIC_COLUMNS)
    .add_cte(INSERT_USER.cte("owner"))
)
UPDATE = (
    sa.update(tasks)
    .where(ONE_TASK)
    .values(updated_at=sa.func.now(), version=tasks.c.version + 1)
    .returning(*PUBLIC_COLUMNS)
)
COMPLETE = UPDATE.values(completed=sa.not_(tasks.c.completed))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the connection pool on shutdown."""
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()
token_cache: dict[str, tuple[str, float]] = {}


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> str:
    """Verify the token, with a cache, and return the user's id."""
    token = credentials.credentials
    user, expires = token_cache.get(token, ("", 0))
    if time.time() < expires:
        return user
    try:
        claims = jwt.decode(
            token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    if len(token_cache) >= MAX_CACHED_TOKENS:
        token_cache.clear()
    token_cache[token] = claims["sub"], claims["exp"]
    return str(claims["sub"])


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
    """Insert a task, and its user if they are new."""
    values = {"owner": user, "task": uuid4(), **fields.model_dump()}
    return json_response(one_or_404(await run(CREATE, values)), 201)


@app.get("/api/tasks/{task_id}")
async def get_task(user: CurrentUser, task_id: UUID) -> Response:
    """Get a task."""
    return json_response(one_or_404(await run(GET, {"owner": user, "task": task_id})))


@app.put("/api/tasks/{task_id}")
async def update_task(user: CurrentUser, task_id: UUID, fields: TaskUpdate) -> Response:
    """Update the given fields."""
    statement = UPDATE.values(fields.model_dump(exclude_unset=True))
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
