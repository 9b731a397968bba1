"""Tasks: the table, and every statement about them.

Each statement names the owner itself, whatever row security does besides. PostgreSQL
keeps the JSON of each task with it: it is written when the task changes, not when it is
read.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field

from models.schema import Base
from models.statements import reads, writes
from models.user import upsert

Status = Literal["all", "pending", "completed"]
Sort = Literal["created", "title", "due_date"]

_REPRESENTATION = sa.Computed(
    "todo.task_json(id, user_id, title, description, completed, priority, due_date,"
    " created_at, updated_at)",
    persisted=True,
)


class Task(Base, table=True):
    """One task. Its key leads with the owner, so that rows can be spread by owner."""

    __tablename__: ClassVar[str] = "tasks"
    __table_args__ = (
        # Weaker than the contract's rule, on purpose: only the contract says what is blank.
        sa.CheckConstraint(
            "char_length(title) BETWEEN 1 AND 200 AND btrim(title) <> ''", name="title"
        ),
        sa.CheckConstraint("char_length(description) <= 1000", name="description"),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high')", name="priority"),
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
    representation: str = Field(sa_column=sa.Column(sa.Text, _REPRESENTATION, nullable=False))
    """The task as JSON, which PostgreSQL writes whenever the task changes."""


_tasks = Base.metadata.tables["todo.tasks"]
_c = _tasks.c

_FILTERS: dict[Status, sa.ColumnElement[bool]] = {
    "all": sa.true(),
    "pending": sa.not_(_c.completed),
    "completed": _c.completed,
}
_ORDERS: dict[Sort, tuple[sa.ColumnElement[Any], ...]] = {
    "created": (_c.created_at.desc(), _c.id.desc()),
    "title": (sa.collate(sa.func.lower(_c.title), "C"), _c.id),
    "due_date": (_c.due_date.asc().nulls_last(), _c.id),
}
sa.Index("ix_tasks_created", _c.user_id, *_ORDERS["created"])
sa.Index("ix_tasks_completed_created", _c.user_id, _c.completed, *_ORDERS["created"])
sa.Index("ix_tasks_title", _c.user_id, *_ORDERS["title"])
sa.Index("ix_tasks_due_date", _c.user_id, *_ORDERS["due_date"])

_ANSWER = (_c.version, _c.representation)
_FIELDS = ("title", "description", "completed", "priority", "due_date")
NEW = {name: f"new_{name}" for name in _FIELDS}
"""What a field's new value is called."""
SET = {name: f"set_{name}" for name in _FIELDS}
"""What the flag is called that says whether a field gets it, as far as it can be null."""
_user_id = sa.bindparam("user_id", type_=sa.Text)
_task_id = sa.bindparam("task_id", type_=sa.Uuid)
_versions = sa.bindparam("versions", type_=sa.ARRAY(sa.BigInteger))
_owned = _c.user_id == _user_id
_this = _owned & (_c.id == _task_id)
_wanted = sa.or_(_versions.is_(None), _c.version == sa.func.any(_versions))


def _listed(status: Status, sort: Sort) -> sa.ClauseElement:
    """Answer with an array of tasks, their number, and that of those on all pages.

    A page neither full nor empty is the last, so its place tells the total. Otherwise they
    are counted: PostgreSQL runs that sub-select only when it is needed.
    """
    matching = (_owned, _FILTERS[status])
    every = sa.select(sa.func.count()).select_from(_tasks).where(*matching).scalar_subquery()
    tasks = sa.select(_c.representation).where(*matching).order_by(*_ORDERS[sort])
    limit, offset = (sa.bindparam(name, type_=sa.BigInteger) for name in ("limit", "offset"))
    # LIMIT keeps the sub-select, and the order of its rows, in one piece.
    page = tasks.limit(limit).offset(offset).subquery("page")
    array = sa.func.string_agg(page.c.representation, _constant(","))
    count = sa.func.count()
    is_last = sa.and_(count > sa.literal_column("0"), count < limit)
    return sa.select(
        sa.func.concat(_constant("["), array, _constant("]")),
        count,
        sa.case((is_last, offset + count), else_=every),
    )


def _created() -> sa.ClauseElement:
    """Add a task, and its owner if it is their first."""
    fields: dict[str, sa.ColumnElement[Any]] = {name: _new(name) for name in _FIELDS}
    fields["completed"] = sa.func.coalesce(_new("completed"), sa.false())
    task = sa.insert(_tasks).values(user_id=_user_id, id=sa.func.gen_random_uuid(), **fields)
    return task.returning(*_ANSWER, _c.id).add_cte(upsert().cte("owner"))


def _changed(**values: sa.ColumnElement[Any]) -> sa.ClauseElement:
    """Change this task, if its version is wanted."""
    change = sa.update(_tasks).where(_this, _wanted)
    change = change.values(
        **values,
        # Never back in time: a later change may come from an earlier transaction.
        updated_at=sa.func.greatest(sa.func.now(), _c.updated_at),
        version=_c.version + sa.literal_column("1"),
    )
    return change.returning(*_ANSWER)


def _new(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(NEW[name], type_=_c[name].type)


def _given(name: str) -> sa.ColumnElement[Any]:
    """Change a column that cannot be null if a value is given."""
    return sa.func.coalesce(_new(name), _c[name])


def _flagged(name: str) -> sa.ColumnElement[Any]:
    """Change a column that can be null if a flag says so: a null may be meant."""
    flag = sa.bindparam(SET[name], type_=sa.Boolean)
    return sa.case((flag, _new(name)), else_=_c[name])


def _constant(text: str) -> sa.ColumnElement[str]:
    """Write a text into the statement itself."""
    return sa.literal_column(f"'{text}'", sa.Text)


def _whose() -> sa.ClauseElement:
    """Answer with `mine`, `theirs`, or null if there is no such task."""
    mine = (sa.exists().where(_this), _constant("mine"))
    theirs = (sa.func.todo.task_exists(_task_id), _constant("theirs"))
    return sa.select(sa.case(mine, theirs))


LIST = {(status, sort): reads(_listed(status, sort)) for status in _FILTERS for sort in _ORDERS}
GET = reads(sa.select(*_ANSWER).where(_this))
CREATE = writes(_created())
UPDATE = writes(
    _changed(
        title=_given("title"),
        description=_flagged("description"),
        completed=_given("completed"),
        priority=_flagged("priority"),
        due_date=_flagged("due_date"),
    )
)
COMPLETE = writes(
    _changed(completed=sa.func.coalesce(_new("completed"), sa.not_(_c.completed)))
)
DELETE = writes(sa.delete(_tasks).where(_this, _wanted).returning(_c.id))
WHOSE = reads(_whose())
