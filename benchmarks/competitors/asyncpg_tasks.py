"""Tasks on asyncpg, as msgspec structs: for the competitors without an ORM.

Tuned by what asyncpg documents: its cache prepares the statements, each of which commits by
itself; the pool does not reset a connection after every request; and identifiers and
timestamps are read as text, since decoding them took more than half of the time of a list.
"""

import os
import sys
from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
import statements
from msgspec import UNSET, Meta, UnsetType

URL = os.environ["DATABASE_URL"]
POOL_SIZE = int(os.environ["POOL_SIZE"])

Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=1000)]
Instant = Annotated[datetime, Meta(tz=True)]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=50)]], Meta(max_length=20)]
Priority = Literal["low", "medium", "high", "urgent"]


class Task(msgspec.Struct):
    """The representation of a task, in the order of the columns."""

    id: str
    user_id: str
    title: str
    description: str | None
    completed: bool
    priority: str | None
    due_date: str | None
    remind_at: str | None
    tags: list[str]
    completed_at: str | None
    created_at: str
    updated_at: str


class TaskCreate(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create request, in the order of the parameters."""

    title: Title
    description: Description | None = None
    completed: bool = False
    priority: Priority | None = None
    due_date: Instant | None = None
    remind_at: Instant | None = None
    tags: Tags = []


class TaskUpdate(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an update."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET
    priority: Priority | UnsetType | None = UNSET
    due_date: Instant | UnsetType | None = UNSET
    remind_at: Instant | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET


class TaskStore:
    """The tasks in PostgreSQL; what returns one task returns None if the user has no such."""

    async def open(self) -> None:
        """Connect."""
        self._pool = await asyncpg.create_pool(
            URL,
            min_size=POOL_SIZE,
            max_size=POOL_SIZE,
            max_queries=sys.maxsize,
            max_inactive_connection_lifetime=0,
            init=read_as_text,
            reset=keep,
            server_settings={"search_path": "todo", "timezone": "UTC"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def list_tasks(
        self, user: str, status: str, sort: str, limit: int, offset: int
    ) -> list[Task]:
        """Return a page of the user's tasks."""
        return await self._fetch(statements.LISTS[status, sort], user, limit, offset)

    async def create_task(self, user: str, fields: TaskCreate) -> Task | None:
        """Insert a task."""
        return await self._fetch_one(statements.CREATE, user, *msgspec.structs.astuple(fields))

    async def get_task(self, user: str, task_id: str) -> Task | None:
        """Return a task."""
        return await self._fetch_one(statements.GET, user, task_id)

    async def update_task(self, user: str, task_id: str, fields: TaskUpdate) -> Task | None:
        """Update the given fields."""
        every = msgspec.structs.asdict(fields)
        given = {name: value for name, value in every.items() if value is not UNSET}
        return await self._fetch_one(statements.update(*given), user, task_id, *given.values())

    async def complete_task(self, user: str, task_id: str) -> Task | None:
        """Toggle `completed`."""
        return await self._fetch_one(statements.COMPLETE, user, task_id)

    async def _fetch(self, statement: str, *values: Any) -> list[Task]:
        return [Task(*row) for row in await self._pool.fetch(statement, *values)]

    async def _fetch_one(self, statement: str, *values: Any) -> Task | None:
        tasks = await self._fetch(statement, *values)
        return tasks[0] if tasks else None


async def read_as_text(connection: asyncpg.Connection) -> None:
    """Read identifiers and timestamps in their text format."""
    for name, decoder in (("uuid", str), ("timestamptz", to_rfc3339)):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=decoder, format="text"
        )


async def keep(_connection: asyncpg.Connection) -> None:
    """Leave a connection as it is: no request changes its settings."""


def to_rfc3339(text: str) -> str:
    """Convert a timestamp in UTC from PostgreSQL's format."""
    return f"{text[:10]}T{text[11:-3]}Z"
