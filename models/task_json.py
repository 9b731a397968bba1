"""How PostgreSQL makes the JSON of tasks: their bytes pass through Python as they are."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

_json = sa.cast(sa.func.row_to_json(sa.column("task")), sa.Text)


def constant(text: str) -> sa.ColumnElement[str]:
    """Write a text into the statement itself."""
    return sa.literal_column(f"'{text}'", sa.Text)


def shown(row: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """Choose what a task's JSON shows, in its order."""
    c = row.c
    plain = (c.id, c.user_id, c.title, c.description, c.completed, c.priority)
    instants = (c.due_date, c.created_at, c.updated_at)
    return [*plain, *(_instant(instant).label(instant.name) for instant in instants)]


def one(rows: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
    """Answer with version and JSON of what `rows` reads or writes.

    Outside of them: in RETURNING, Citus accepts immutable functions only.
    """
    task = sa.select(*shown(rows)).correlate(rows).lateral("task")
    return sa.select(rows.c.version, _json).select_from(rows.join(task, sa.true()))


def page(
    tasks: sa.Select[*tuple[Any, ...]], every: sa.ScalarSelect[int]
) -> sa.Select[*tuple[Any, ...]]:
    """Answer with an array of the `tasks` selected, their number, and that of `every` one.

    A page neither full nor empty is the last, so its place tells the total. Otherwise they
    are counted: PostgreSQL runs that sub-select only when it is needed.
    """
    limit, offset = (sa.bindparam(name, type_=sa.BigInteger) for name in ("limit", "offset"))
    count = sa.func.count()
    is_last = sa.and_(count > sa.literal_column("0"), count < limit)
    return sa.select(
        # In order: LIMIT keeps the sub-select, and the order of its rows, in one piece.
        sa.func.concat(constant("["), sa.func.string_agg(_json, constant(",")), constant("]")),
        count,
        sa.case((is_last, offset + count), else_=every),
    ).select_from(tasks.limit(limit).offset(offset).subquery("task"))


def _instant(column: sa.ColumnElement[datetime]) -> sa.ColumnElement[str]:
    """Write an instant as RFC 3339 does, in UTC whatever the session's time zone."""
    utc = column.op("AT TIME ZONE")(constant("UTC"))
    return sa.func.to_char(utc, constant('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
