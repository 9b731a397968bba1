"""The parameters of statements, and their types."""

from typing import Any

import sqlalchemy as sa

PARAMETERS: dict[str, Any] = {
    "user_id": sa.Text(),
    "task_id": sa.Uuid(),
    "versions": sa.ARRAY(sa.BigInteger),
    "new_title": sa.Text(),
    "new_description": sa.Text(),
    "new_completed": sa.Boolean(),
    "new_priority": sa.Text(),
    "new_due_date": sa.DateTime(timezone=True),
    "new_remind_at": sa.DateTime(timezone=True),
    "new_tags": sa.ARRAY(sa.Text),
    "set_description": sa.Boolean(),
    "set_priority": sa.Boolean(),
    "set_due_date": sa.Boolean(),
    "set_remind_at": sa.Boolean(),
    "key": sa.Text(),
    "fingerprint": sa.Text(),
    "key_retention": sa.Text(),
    "deletion_retention": sa.Text(),
    "limit": sa.BigInteger(),
    "offset": sa.BigInteger(),
    "completed": sa.ARRAY(sa.Boolean),
    "priorities": sa.ARRAY(sa.Text),
    "tags": sa.ARRAY(sa.Text),
    "search": sa.Text(),
    "due_after": sa.DateTime(timezone=True),
    "due_before": sa.DateTime(timezone=True),
    "after_id": sa.Uuid(),
    "after_text": sa.Text(),
    "after_instant": sa.DateTime(timezone=True),
    "since": sa.BigInteger(),
    "since_id": sa.Uuid(),
    "unless": sa.BigInteger(),
    "base": sa.BigInteger(),
}
"""The type of every parameter; PostgreSQL is told it with a cast."""

SET_FLAGS = {
    name: f"set_{name}" for name in ("description", "priority", "due_date", "remind_at")
}
"""The parameter that says whether a nullable field is set, since null may be meant."""


def text(sql: str) -> sa.TextClause:
    """Return SQL with the type of each `:parameter`."""
    clause = sa.text(sql)
    names = clause._bindparams  # noqa: SLF001 (the only way to know them)
    return clause.bindparams(*(sa.bindparam(name, type_=PARAMETERS[name]) for name in names))
