"""The tables, as SQLModel classes."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from models.schema import MICROSECONDS, SCHEMA


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


def _owner(**options: Any) -> Any:
    """Return the first column of a key: every table is distributed by its owner."""
    return Field(
        sa_type=sa.Text,
        primary_key=True,
        foreign_key="todo.users.id",
        ondelete="CASCADE",
        **options,
    )


def _now() -> Any:
    return Field(sa_column_kwargs={"server_default": sa.func.now()})


class User(Base, table=True):
    """A user who has written something; `id` is the user's id in the token.

    Better Auth owns accounts and stores the rest.
    """

    __tablename__: ClassVar[str] = "users"
    __table_args__ = (
        sa.CheckConstraint("char_length(id) BETWEEN 1 AND 255", name="id_length"),
    )

    id: str = Field(sa_type=sa.Text, primary_key=True)
    created_at: datetime = _now()
    revision: int = Field(
        sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text(MICROSECONDS)}
    )
    """Raised by every write of the user, in the same statement."""
    forgotten: int = Field(
        sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text(MICROSECONDS)}
    )
    """Deletions up to this revision may no longer be known."""


class Task(Base, table=True):
    """One task."""

    __tablename__: ClassVar[str] = "tasks"
    __table_args__ = (
        # Weaker than the contract's rule on purpose: only the contract defines what is blank.
        sa.CheckConstraint(
            "char_length(title) BETWEEN 1 AND 200 AND btrim(title) <> ''", name="title"
        ),
        sa.CheckConstraint("char_length(description) <= 1000", name="description"),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high', 'urgent')", name="priority"),
        sa.CheckConstraint("cardinality(tags) <= 20", name="tags"),
        # Room for updates next to what they replace: those of no indexed column write no index.
        {"postgresql_with": {"fillfactor": 85}},
    )

    user_id: str = _owner()
    id: UUID = Field(primary_key=True, index=True)
    title: str = Field(sa_type=sa.Text)
    description: str | None = Field(sa_type=sa.Text)
    completed: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    priority: str | None = Field(sa_type=sa.Text)
    due_date: datetime | None
    created_at: datetime = _now()
    updated_at: datetime = _now()
    version: int = Field(
        sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text("1")}
    )
    """The user's revision when the task was last written."""
    representation: str | None = Field(sa_type=sa.Text)
    """The task as JSON, as of the last statement that changed it."""
    representation_version: int | None = Field(sa_type=sa.SmallInteger)
    """The version of the function that made it; null if unknown, so that none is assumed."""
    tags: list[str] = Field(
        sa_type=ARRAY(sa.Text), sa_column_kwargs={"server_default": sa.text("'{}'::text[]")}
    )
    remind_at: datetime | None
    completed_at: datetime | None


class DeletedTask(Base, table=True):
    """What is remembered of a deleted task, for clients that synchronize."""

    __tablename__: ClassVar[str] = "deleted_tasks"

    user_id: str = _owner()
    revision: int = Field(sa_type=sa.BigInteger, primary_key=True)
    id: UUID = Field(primary_key=True)
    deleted_at: datetime = _now()


class IdempotencyKey(Base, table=True):
    """The response to a request with an `Idempotency-Key`, for its retries."""

    __tablename__: ClassVar[str] = "idempotency_keys"
    __table_args__ = (sa.Index("ix_idempotency_keys_created_at", "user_id", "created_at"),)

    user_id: str = _owner()
    key: str = Field(sa_type=sa.Text, primary_key=True)
    fingerprint: str = Field(sa_type=sa.Text)
    """A digest of the fields of the request."""
    task_id: UUID
    version: int = Field(sa_type=sa.BigInteger)
    response: str = Field(sa_type=sa.Text)
    created_at: datetime = _now()


class BlockedUser(Base, table=True):
    """A user who is refused, however valid their tokens; they may have no row in `users`."""

    __tablename__: ClassVar[str] = "blocked_users"
    __table_args__ = (
        sa.CheckConstraint("char_length(user_id) BETWEEN 1 AND 255", name="id_length"),
    )

    user_id: str = Field(sa_type=sa.Text, primary_key=True)
    blocked_at: datetime = _now()


tasks = Base.metadata.tables["todo.tasks"]

sa.Index("ix_tasks_created", tasks.c.user_id, tasks.c.created_at.desc(), tasks.c.id.desc())
sa.Index(
    "ix_tasks_title", tasks.c.user_id, sa.collate(sa.func.lower(tasks.c.title), "C"), tasks.c.id
)
sa.Index("ix_tasks_due_date", tasks.c.user_id, tasks.c.due_date.asc().nulls_last(), tasks.c.id)
