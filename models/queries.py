"""Every statement about tasks.

Each one filters by the owner itself, in addition to row-level security. Statements that write
a task also write its JSON, made by `todo.task_json_v<N>`, and that N; those that read take
the stored JSON, or make it if the row has another N or none.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from models.postgres.statements import Statement, reading, writing
from models.tables import ORDERS, tasks, users
from openapi.types import Sort, Status

_c = tasks.c

REPRESENTATION_VERSION = 1
"""The N of `todo.task_json_v<N>`, the function that makes the JSON of a task."""

_FILTERS: dict[Status, sa.ColumnElement[bool]] = {
    "all": sa.true(),
    "pending": sa.not_(_c.completed),
    "completed": _c.completed,
}
_SORTS: tuple[Sort, ...] = ("created", "title", "due_date")

_FIELDS = ("title", "description", "completed", "priority", "due_date")
REPRESENTED = ("id", "user_id", *_FIELDS, "created_at", "updated_at")
"""The columns in the JSON of a task, in the order of the function's arguments."""
_NEW = {name: f"new_{name}" for name in _FIELDS}
"""The parameter with a field's new value."""
SET_FLAGS = {name: f"set_{name}" for name in ("description", "priority", "due_date")}
"""The parameter that says whether a nullable field is set, since null may be meant."""
_user_id = sa.bindparam("user_id", type_=sa.Text)
_task_id = sa.bindparam("task_id", type_=sa.Uuid)
_versions = sa.bindparam("versions", type_=sa.ARRAY(sa.BigInteger))
_is_owned = _c.user_id == _user_id
_is_task = _is_owned & (_c.id == _task_id)
_version_matches = sa.or_(_versions.is_(None), _c.version == sa.func.any(_versions))


def _json(row: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[str]:
    """Make the JSON of a row, given an expression for each of its columns."""
    function = getattr(sa.func.todo, f"task_json_v{REPRESENTATION_VERSION}")
    json: sa.ColumnElement[str] = function(*(row[name] for name in REPRESENTED), type_=sa.Text)
    return json


def _with_json(row: Mapping[str, sa.ColumnElement[Any]]) -> dict[str, sa.ColumnElement[Any]]:
    """Return what to store for a row: its JSON, and the version of the function."""
    return {"representation": _json(row), "representation_version": _VERSION}


_VERSION = sa.literal_column(str(REPRESENTATION_VERSION), sa.SmallInteger)
_is_current = _c.representation_version == _VERSION
_representation = sa.case((_is_current, _c.representation), else_=_json(dict(_c))).label(
    "representation"
)
_WRITTEN = (_c.version, _c.representation)


def _list(status: Status, sort: Sort) -> sa.ClauseElement:
    """Select an array of tasks, its length, and the number of tasks on all pages.

    A page that is neither full nor empty is the last, so its offset gives the total.
    Otherwise the tasks are counted: PostgreSQL runs that sub-select only if it is needed.
    """
    matching = (_is_owned, _FILTERS[status])
    total = sa.select(sa.func.count()).select_from(tasks).where(*matching).scalar_subquery()
    ordered = sa.select(_representation).where(*matching).order_by(*ORDERS[sort])
    limit, offset = (sa.bindparam(name, type_=sa.BigInteger) for name in ("limit", "offset"))
    # LIMIT keeps PostgreSQL from flattening the sub-select, and so the order of its rows.
    page = ordered.limit(limit).offset(offset).subquery("page")
    array = sa.func.string_agg(page.c.representation, _literal(","))
    count = sa.func.count()
    is_last = sa.and_(count > sa.literal_column("0"), count < limit)
    return sa.select(
        sa.func.concat(_literal("["), array, _literal("]")),
        count,
        sa.case((is_last, offset + count), else_=total),
    )


def _create() -> sa.ClauseElement:
    """Insert a task, and its owner unless the row exists.

    Safe when several requests are the first of a user: all but one insert no owner.
    """
    owner = insert(users).values(id=_user_id).on_conflict_do_nothing().cte("owner")
    values: dict[str, sa.ColumnElement[Any]] = {
        "user_id": _user_id,
        "id": sa.func.gen_random_uuid(),
        **{name: _new(name) for name in _FIELDS},
        "completed": sa.func.coalesce(_new("completed"), sa.false()),
        "created_at": sa.func.now(),
        "updated_at": sa.func.now(),
    }
    # PostgreSQL never flattens a sub-select with a volatile function, so there is one id.
    new = sa.select(*(value.label(name) for name, value in values.items())).subquery("new")
    row = dict(new.c) | _with_json(dict(new.c))
    task = sa.insert(tasks).from_select([*row], sa.select(*row.values()))
    return task.returning(*_WRITTEN, _c.id).add_cte(owner)


def _update(**values: sa.ColumnElement[Any]) -> sa.ClauseElement:
    """Update the task if its version matches."""
    values["version"] = _c.version + sa.literal_column("1")
    # Never back in time: a later change may come from an earlier transaction.
    values["updated_at"] = sa.func.greatest(sa.func.now(), _c.updated_at)
    values |= _with_json(dict(_c) | values)
    update = sa.update(tasks).where(_is_task, _version_matches).values(values)
    return update.returning(*_WRITTEN)


def _new(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(_NEW[name], type_=_c[name].type)


def _new_or_unchanged(name: str) -> sa.ColumnElement[Any]:
    """Set a column that is not nullable if there is a value."""
    return sa.func.coalesce(_new(name), _c[name])


def _new_if_set(name: str) -> sa.ColumnElement[Any]:
    """Set a nullable column if its flag says so."""
    flag = sa.bindparam(SET_FLAGS[name], type_=sa.Boolean)
    return sa.case((flag, _new(name)), else_=_c[name])


def _literal(text: str) -> sa.ColumnElement[str]:
    """Write a text into the statement itself, not as a parameter."""
    return sa.literal_column(f"'{text}'", sa.Text)


def _ownership() -> sa.ClauseElement:
    """Select `own` or `other` for the owner of a task, or null if it does not exist."""
    own = (sa.exists().where(_is_task), _literal("own"))
    other = (sa.func.todo.task_exists(_task_id), _literal("other"))
    return sa.select(sa.case(own, other))


LIST = {
    (status, sort): reading(f"list_{status}_by_{sort}", _list(status, sort))
    for status in _FILTERS
    for sort in _SORTS
}
GET = reading("get_task", sa.select(_c.version, _representation).where(_is_task))
CREATE = writing("create_task", _create())
UPDATE = writing(
    "update_task",
    _update(
        title=_new_or_unchanged("title"),
        description=_new_if_set("description"),
        completed=_new_or_unchanged("completed"),
        priority=_new_if_set("priority"),
        due_date=_new_if_set("due_date"),
    ),
)
COMPLETE = writing(
    "complete_task",
    _update(completed=sa.func.coalesce(_new("completed"), sa.not_(_c.completed))),
)
DELETE = writing(
    "delete_task", sa.delete(tasks).where(_is_task, _version_matches).returning(_c.id)
)
OWNERSHIP = reading("get_ownership", _ownership())

PREPARED: tuple[Statement, ...] = (
    *LIST.values(),
    GET,
    CREATE,
    UPDATE,
    COMPLETE,
    DELETE,
    OWNERSHIP,
)
"""Every statement here: each is prepared once per connection, not parsed once per request."""
