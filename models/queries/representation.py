"""The JSON of a task: how it is made, and how it is read.

A statement that writes a task also writes its JSON, made by `todo.task_json_v<N>`, and that
N; one that reads takes the stored JSON, or makes it if the row has another N.
"""

from collections.abc import Mapping
from typing import Final

REPRESENTATION_VERSION = 2
"""The N of `todo.task_json_v<N>`, the function that makes the JSON of a task.

Entity tags contain it, so that a client reads tasks again after it was raised.
"""

REPRESENTED: Final = (
    "id",
    "user_id",
    "title",
    "description",
    "completed",
    "priority",
    "due_date",
    "remind_at",
    "tags",
    "completed_at",
    "created_at",
    "updated_at",
)
"""The columns in the JSON of a task, in the order of the function's arguments."""


def json_of(row: Mapping[str, str]) -> str:
    """Return the expression for the JSON of a row, given one for each of its columns."""
    arguments = ", ".join(row[name] for name in REPRESENTED)
    return f"todo.task_json_v{REPRESENTATION_VERSION}({arguments})"


STORED = {name: f"t.{name}" for name in REPRESENTED}
"""The columns of the row that is read or written."""

REPRESENTATION = f"""CASE WHEN t.representation_version = {REPRESENTATION_VERSION}
    THEN t.representation ELSE {json_of(STORED)} END"""
"""The JSON of a stored row `t`."""
