"""How PostgreSQL makes the JSON of tasks: their bytes pass through Python as they are."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

_json = sa.cast(sa.func.row_to_json(sa.column("task")), sa.Text)


def constant(text: str) -> sa.ColumnElement[str]:
    """Write a text into the statement itself."""
    return sa.literal_column(f"'{text}'", sa.Text)


def one(rows: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
    """Answer with version and JSON of what `rows` reads or writes.

    Outside of them: in RETURNING, Citus accepts immutable functions only.
    """
    return _shown(rows, rows.c.version, _json)


def page(
    tasks: sa.Select[*tuple[Any, ...]], every: sa.ScalarSelect[int]
) -> sa.Select[*tuple[Any, ...]]:
    """Answer with an array of the `tasks` selected, their number, and that of `every` one.

    A page neither full nor empty is the last, so its place tells the total. Otherwise they
    are counted: PostgreSQL runs that sub-select only when it is needed.
    """
    limit, offset = (sa.bindparam(name, type_=sa.BigInteger) for name in ("limit", "offset"))
    # LIMIT keeps the sub-select, and the order of its rows, in one piece; what is outside of
    # it isn't done for rows that are skipped.
    rows = tasks.limit(limit).offset(offset).subquery("page")
    count = sa.func.count()
    is_last = sa.and_(count > sa.literal_column("0"), count < limit)
    return _shown(
        rows,
        sa.func.concat(constant("["), sa.func.string_agg(_json, constant(",")), constant("]")),
        count,
        sa.case((is_last, offset + count), else_=every),
    )


def _shown(rows: sa.FromClause, *answer: sa.ColumnElement[Any]) -> sa.Select[*tuple[Any, ...]]:
    """Answer with something about `rows`, each of which is at hand as its JSON shows it."""
    c = rows.c
    plain = (c.id, c.user_id, c.title, c.description, c.completed, c.priority)
    instants = (
        _instant(c[name]).label(name) for name in ("due_date", "created_at", "updated_at")
    )
    task = sa.select(*plain, *instants).correlate(rows).lateral("task")
    return sa.select(*answer).select_from(rows.join(task, sa.true()))


def _instant(column: sa.ColumnElement[datetime]) -> sa.ColumnElement[str]:
    """Write an instant as RFC 3339 does, in UTC whatever the session's time zone."""
    utc = column.op("AT TIME ZONE")(constant("UTC"))
    return sa.func.to_char(utc, constant('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
