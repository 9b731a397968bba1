"""FastAPI and SQLModel, synchronous, following SQLModel's tutorial.

One difference: sessions are opened and closed inside the endpoint. As a dependency, a
session would hold its connection while waiting for a worker thread, which deadlocks with
more clients than connections.
"""

# mypy: disallow-untyped-decorators=false
# (FastAPI is not installed in the environment that mypy runs in.)

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime
from sqlalchemy import ARRAY, Text
from sqlmodel import Field, Session, SQLModel, col, collate, create_engine, func, select

SECRET = os.environ["BETTER_AUTH_SECRET"]
URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:", 1)
POOL_SIZE = int(os.environ["POOL_SIZE"])

engine = create_engine(
    URL,
    pool_size=POOL_SIZE,
    max_overflow=0,
    connect_args={"options": "-c search_path=todo -c timezone=UTC"},
)
app = FastAPI()
bearer = HTTPBearer()


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Task(SQLModel, table=True):
    """The table of tasks."""

    __tablename__: ClassVar[str] = "tasks"

    id: UUID = Field(primary_key=True, default_factory=uuid4)
    user_id: str
    title: str
    description: str | None = None
    completed: bool = False
    priority: str | None = None
    due_date: datetime | None = None
    remind_at: datetime | None = None
    tags: list[str] = Field(default=[], sa_type=ARRAY(Text))
    completed_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)


class TaskPublic(SQLModel):
    """The representation of a task."""

    id: UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    priority: str | None
    due_date: datetime | None
    remind_at: datetime | None
    tags: list[str]
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TaskUpdate(SQLModel):
    """The body of an update."""

    model_config = {"extra": "forbid"}

    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool = False
    priority: Literal["low", "medium", "high", "urgent"] | None = None
    due_date: AwareDatetime | None = None
    remind_at: AwareDatetime | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=50)]] = Field(
        default=[], max_length=20
    )


class TaskCreate(TaskUpdate):
    """The body of a create request."""

    title: str = Field(min_length=1, max_length=200)


SORT_ORDERS: dict[str, tuple[Any, ...]] = {
    "created": (col(Task.created_at).desc(), col(Task.id).desc()),
    "title": (collate(func.lower(Task.title), "C"), col(Task.id)),
    "due_date": (col(Task.due_date).asc().nulls_last(), col(Task.id)),
}


def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
) -> str:
    """Verify the token and return the user's id."""
    try:
        claims = jwt.decode(
            credentials.credentials,
            SECRET,
            algorithms=["HS256"],
            options={"require": ["exp", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    return str(claims["sub"])


CurrentUser = Annotated[str, Depends(current_user)]


@app.get("/api/tasks", response_model=list[TaskPublic])
def list_tasks(
    user: CurrentUser,
    status: Literal["all", "pending", "completed"] = "all",
    sort: Literal["created", "title", "due_date"] = "created",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Sequence[Task]:
    """List the user's tasks."""
    query = select(Task).where(Task.user_id == user)
    if status != "all":
        query = query.where(col(Task.completed).is_(status == "completed"))
    with Session(engine) as session:
        return session.exec(
            query.order_by(*SORT_ORDERS[sort]).limit(limit).offset(offset)
        ).all()


@app.post("/api/tasks", response_model=TaskPublic, status_code=201)
def create_task(user: CurrentUser, fields: TaskCreate) -> Task:
    """Insert a task, and its user if they are new."""
    with Session(engine) as session:
        task = Task(user_id=user, **fields.model_dump())
        task.completed_at = now() if task.completed else None
        session.add(task)
        session.commit()
        session.refresh(task)
        return task


@app.get("/api/tasks/{task_id}", response_model=TaskPublic)
def get_task(user: CurrentUser, task_id: UUID) -> Task:
    """Get a task."""
    with Session(engine) as session:
        return own_or_404(session.get(Task, task_id), user)


@app.put("/api/tasks/{task_id}", response_model=TaskPublic)
def update_task(user: CurrentUser, task_id: UUID, fields: TaskUpdate) -> Task:
    """Update the given fields."""
    with Session(engine) as session:
        task = own_or_404(session.get(Task, task_id, with_for_update=True), user)
        given = fields.model_dump(exclude_unset=True)
        task.sqlmodel_update(given)
        if "completed" in given:
            task.completed_at = (task.completed_at or now()) if task.completed else None
        return save(session, task)


@app.patch("/api/tasks/{task_id}/complete", response_model=TaskPublic)
def complete_task(user: CurrentUser, task_id: UUID) -> Task:
    """Toggle `completed`."""
    with Session(engine) as session:
        task = own_or_404(session.get(Task, task_id, with_for_update=True), user)
        task.completed = not task.completed
        task.completed_at = now() if task.completed else None
        return save(session, task)


def own_or_404(task: Task | None, user: str) -> Task:
    """Return the task if it is the user's, or respond with 404."""
    if task is None or task.user_id != user:
        raise HTTPException(404, "No task has this id.")
    return task


def save(session: Session, task: Task) -> Task:
    """Commit a modified task and return it refreshed."""
    task.updated_at = now()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task
