"""The parameters of statements, their types, and how statements are made of SQL with them."""

import re

from models.postgres.statements import Statement

PARAMETERS: dict[str, str] = {
    "user_id": "text",
    "task_id": "uuid",
    "versions": "bigint[]",
    "new_title": "text",
    "new_description": "text",
    "new_completed": "boolean",
    "new_priority": "text",
    "new_due_date": "timestamptz",
    "new_remind_at": "timestamptz",
    "new_tags": "text[]",
    "set_description": "boolean",
    "set_priority": "boolean",
    "set_due_date": "boolean",
    "set_remind_at": "boolean",
    "key": "text",
    "fingerprint": "text",
    "key_retention": "interval",
    "deletion_retention": "interval",
    "limit": "bigint",
    "offset": "bigint",
    "completed": "boolean[]",
    "priorities": "text[]",
    "tags": "text[]",
    "search": "text",
    "due_after": "timestamptz",
    "due_before": "timestamptz",
    "after_id": "uuid",
    "after_text": "text",
    "after_instant": "timestamptz",
    "since": "bigint",
    "since_id": "uuid",
    "unless": "bigint",
    "base": "bigint",
    "blocked": "text",
}
"""The SQL type of every parameter."""

SET_FLAGS = {
    name: f"set_{name}" for name in ("description", "priority", "due_date", "remind_at")
}
"""The parameter that says whether a nullable field is set, since null may be meant."""

_NAME = re.compile(r"(?<!:):([a-z_]+)")  # two colons begin a cast


def reading(name: str, sql: str) -> Statement:
    """Return a statement that only reads, given its SQL with `:parameter` for each value."""
    return _statement(name, sql, writes=False)


def writing(name: str, sql: str) -> Statement:
    """Return a statement that changes rows; see `reading`."""
    return _statement(name, sql, writes=True)


def _statement(name: str, sql: str, *, writes: bool) -> Statement:
    """Return a statement with numbered parameters, each with a cast to its type."""
    names = tuple(dict.fromkeys(_NAME.findall(sql)))
    places = {each: f"${n}::{PARAMETERS[each]}" for n, each in enumerate(names, start=1)}
    numbered = _NAME.sub(lambda match: places[match[1]], sql)
    return Statement(numbered.encode(), names, writes, name)
