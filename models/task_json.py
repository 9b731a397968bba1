"""How PostgreSQL makes the JSON of tasks: their bytes pass through Python as they are.

Members are written side by side, which PostgreSQL does faster than making a row of them for
`row_to_json`. Rows for Python to serialise cost no less in sum, and hold up everybody else.
"""

from typing import Any

import sqlalchemy as sa

_RFC_3339 = r"""\"YYYY-MM-DD"T"HH24:MI:SS.US"Z\""""
# Of the one who asks: written once for all rows, since none is anybody else's.
_OWNER = sa.select(sa.func.to_json(sa.bindparam("user_id", type_=sa.Text))).scalar_subquery()


def constant(text: str) -> sa.ColumnElement[str]:
    """Write a text into the statement itself."""
    return sa.literal_column(f"'{text}'", sa.Text)


def one(rows: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
    """Answer with version and JSON of what `rows` reads or writes.

    Outside of them: in RETURNING, Citus accepts immutable functions only.
    """
    return sa.select(rows.c.version, _task(rows))


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
    array = sa.func.string_agg(_task(rows), constant(","))
    return sa.select(
        sa.func.concat(constant("["), array, constant("]")),
        count,
        sa.case((is_last, offset + count), else_=every),
    )


def _task(rows: sa.FromClause) -> sa.ColumnElement[str]:
    """Write a row of tasks as a JSON object."""
    c = rows.c
    members = {
        "id": _quoted(c.id),
        "user_id": _OWNER,
        "title": _escaped(c.title),
        "description": _or_null(_escaped(c.description)),
        "completed": sa.case((c.completed, constant("true")), else_=constant("false")),
        "priority": _or_null(_quoted(c.priority)),
        "due_date": _or_null(_instant(c.due_date)),
        "created_at": _instant(c.created_at),
        "updated_at": _instant(c.updated_at),
    }
    pieces: list[sa.ColumnElement[Any]] = []
    for name, value in members.items():
        pieces += [constant(f'{"," if pieces else "{"}"{name}":'), value]
    return sa.func.concat(*pieces, constant("}"), type_=sa.Text)


def _escaped(text: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Write any text; this takes longer than all else together."""
    return sa.cast(sa.func.to_json(text), sa.Text)


def _quoted(word: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Write what has nothing to escape: a UUID, or one of a few words."""
    return constant('"') + sa.cast(word, sa.Text) + constant('"')


def _instant(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Write an instant as RFC 3339 does, in UTC whatever the session's time zone."""
    utc = column.op("AT TIME ZONE")(constant("UTC"))
    return sa.func.to_char(utc, constant(_RFC_3339))


def _or_null(value: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    return sa.func.coalesce(value, constant("null"))
