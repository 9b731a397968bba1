"""The tables, as SQLModel classes."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

SCHEMA = "todo"
"""The PostgreSQL schema of every table: Better Auth's tables may be in the same database."""

PROBE_ROLE = "todo_probe"
"""The role that may see which task ids exist, and nothing else; `task_exists` runs as it."""

MIN_SERVER_VERSION = 150_000
"""The oldest supported PostgreSQL, as `server_version_num`."""


class Base(SQLModel):
    """The base of every table: its schema, and a naming convention for constraints."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        },
    )


class User(Base, table=True):
    """A user who has written something; `id` is the `sub` of their token.

    Better Auth owns accounts and stores the rest.
    """

    __tablename__: ClassVar[str] = "users"
    __table_args__ = (
        sa.CheckConstraint("char_length(id) BETWEEN 1 AND 255", name="id_length"),
    )

    id: str = Field(sa_type=sa.Text, primary_key=True)
    created_at: datetime = Field(sa_column_kwargs={"server_default": sa.func.now()})


class Task(Base, table=True):
    """One task. Its key begins with the owner, so that rows can be distributed by owner."""

    __tablename__: ClassVar[str] = "tasks"
    __table_args__ = (
        # Weaker than the contract's rule on purpose: only the contract defines what is blank.
        sa.CheckConstraint(
            "char_length(title) BETWEEN 1 AND 200 AND btrim(title) <> ''", name="title"
        ),
        sa.CheckConstraint("char_length(description) <= 1000", name="description"),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high')", name="priority"),
        # Room for updates next to what they replace: those of no indexed column write no index.
        {"postgresql_with": {"fillfactor": 85}},
    )

    user_id: str = Field(
        sa_type=sa.Text, primary_key=True, foreign_key="todo.users.id", ondelete="CASCADE"
    )
    id: UUID = Field(primary_key=True, index=True)
    title: str = Field(sa_type=sa.Text)
    description: str | None = Field(sa_type=sa.Text)
    completed: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    priority: str | None = Field(sa_type=sa.Text)
    due_date: datetime | None
    created_at: datetime = Field(sa_column_kwargs={"server_default": sa.func.now()})
    updated_at: datetime = Field(sa_column_kwargs={"server_default": sa.func.now()})
    version: int = Field(
        sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text("1")}
    )
    representation: str | None = Field(sa_type=sa.Text)
    """The task as JSON, as of the last statement that changed it."""
    representation_version: int | None = Field(sa_type=sa.SmallInteger)
    """The version of the function that made it; null if unknown, so that none is assumed."""


users = Base.metadata.tables["todo.users"]
tasks = Base.metadata.tables["todo.tasks"]

ORDERS: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
    "created": (tasks.c.created_at.desc(), tasks.c.id.desc()),
    "title": (sa.collate(sa.func.lower(tasks.c.title), "C"), tasks.c.id),
    "due_date": (tasks.c.due_date.asc().nulls_last(), tasks.c.id),
}
"""The columns that each `sort` of the contract orders by; an index serves each."""

sa.Index("ix_tasks_created", tasks.c.user_id, *ORDERS["created"])
sa.Index("ix_tasks_completed_created", tasks.c.user_id, tasks.c.completed, *ORDERS["created"])
sa.Index("ix_tasks_title", tasks.c.user_id, *ORDERS["title"])
sa.Index("ix_tasks_due_date", tasks.c.user_id, *ORDERS["due_date"])
