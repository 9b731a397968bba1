"""The peer on FastAPI and asynchronous SQLAlchemy, tuned by every means that is documented.

Core statements instead of the ORM, compiled once; asyncpg, which prepares them; no BEGIN
and ROLLBACK around single statements; orjson instead of a response model; a cache of
verified tokens; uvloop and httptools.
"""

# mypy: disallow-untyped-decorators=false
# (FastAPI is installed where this runs, not where it is checked.)

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
MOST_TOKENS = 10_000

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
SHOWN = tuple(column for column in tasks.c if column is not tasks.c.version)
NAMES = tuple(str(column.name) for column in SHOWN)  # orjson wants plain str


class TaskUpdate(BaseModel, extra="forbid"):
    """The fields to change."""

    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False
    priority: Literal["low", "medium", "high"] | None = None
    due_date: AwareDatetime | None = None


class TaskCreate(TaskUpdate):
    """A new task."""

    title: str = Field(min_length=1, max_length=200)


ORDERS: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
    "created": (tasks.c.created_at.desc(), tasks.c.id.desc()),
    "title": (sa.collate(sa.func.lower(tasks.c.title), "C"), tasks.c.id),
    "due_date": (tasks.c.due_date.asc().nulls_last(), tasks.c.id),
}
OWNED = tasks.c.user_id == sa.bindparam("owner")
THIS = OWNED & (tasks.c.id == sa.bindparam("task"))


def listed(status: str, sort: str) -> sa.Select[Any]:
    """Select a page of a user's tasks."""
    statement = sa.select(*SHOWN).where(OWNED)
    if status != "all":
        statement = statement.where(tasks.c.completed.is_(status == "completed"))
    limit, offset = (
        sa.bindparam("limit", type_=sa.Integer),
        sa.bindparam("offset", type_=sa.Integer),
    )
    return statement.order_by(*ORDERS[sort]).limit(limit).offset(offset)


LISTS = {
    (status, sort): listed(status, sort)
    for status in ("all", "pending", "completed")
    for sort in ORDERS
}
GET = sa.select(*SHOWN).where(THIS)
OWNER = insert(users).values(id=sa.bindparam("owner")).on_conflict_do_nothing()
CREATE = (
    sa.insert(tasks)
    .values(user_id=sa.bindparam("owner"), id=sa.bindparam("task"))
    .values({name: sa.bindparam(name) for name in TaskCreate.model_fields})
    .returning(*SHOWN)
    .add_cte(OWNER.cte("owner"))
)
CHANGE = (
    sa.update(tasks)
    .where(THIS)
    .values(updated_at=sa.func.now(), version=tasks.c.version + 1)
    .returning(*SHOWN)
)
COMPLETE = CHANGE.values(completed=sa.not_(tasks.c.completed))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the connections in the end."""
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()
verified: dict[str, tuple[str, float]] = {}


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> str:
    """Tell whose token this is, and remember it while it is good."""
    token = credentials.credentials
    user, expires = verified.get(token, ("", 0))
    if time.time() < expires:
        return user
    try:
        claims = jwt.decode(
            token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    if len(verified) >= MOST_TOKENS:
        verified.clear()
    verified[token] = claims["sub"], claims["exp"]
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
    rows = await run(LISTS[status, sort], values)
    return answer([dict(zip(NAMES, row, strict=True)) for row in rows])


@app.post("/api/tasks")
async def create_task(user: CurrentUser, fields: TaskCreate) -> Response:
    """Store a new task, and its owner if it is their first."""
    values = {"owner": user, "task": uuid4(), **fields.model_dump()}
    return answer(only(await run(CREATE, values)), 201)


@app.get("/api/tasks/{task_id}")
async def get_task(user: CurrentUser, task_id: UUID) -> Response:
    """Read a task."""
    return answer(only(await run(GET, {"owner": user, "task": task_id})))


@app.put("/api/tasks/{task_id}")
async def update_task(user: CurrentUser, task_id: UUID, fields: TaskUpdate) -> Response:
    """Change the fields given."""
    change = CHANGE.values(fields.model_dump(exclude_unset=True))
    return answer(only(await run(change, {"owner": user, "task": task_id})))


@app.patch("/api/tasks/{task_id}/complete")
async def complete_task(user: CurrentUser, task_id: UUID) -> Response:
    """Flip `completed`."""
    return answer(only(await run(COMPLETE, {"owner": user, "task": task_id})))


async def run(statement: sa.Executable, values: dict[str, Any]) -> list[sa.Row[Any]]:
    """Run one statement, which is a transaction of its own."""
    async with engine.connect() as connection:
        return list(await connection.execute(statement, values))


def only(rows: list[sa.Row[Any]]) -> dict[str, Any]:
    """Return the one row, or answer that there is none."""
    if not rows:
        raise HTTPException(404, "No task has this id.")
    return dict(zip(NAMES, rows[0], strict=True))


def answer(content: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(content, default=str), status, media_type="application/json")
