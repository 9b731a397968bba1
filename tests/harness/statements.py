"""Every statement of the service, and values for its parameters."""

from uuid import UUID

from models import queries
from models.postgres.statements import Statement

_named = {name: value for name, value in vars(queries).items() if isinstance(value, Statement)}
_lists = {
    " ".join(("list", *which)): statement
    for value in vars(queries).values()
    if isinstance(value, dict)
    for which, statement in value.items()
    if isinstance(statement, Statement)
}

STATEMENTS: dict[str, Statement] = {
    **{name.strip("_").lower(): statement for name, statement in _named.items()},
    **_lists,
}
"""Found by inspection, so new statements are tested, too."""


def values_for(user_id: str, task_id: UUID) -> dict[str, object]:
    """Return values for all parameters, with which a statement changes all that it can."""
    new = {"title": "new", "description": "new", "completed": True, "priority": "low"}
    return {
        "user_id": user_id,
        "task_id": task_id,
        "versions": None,
        "limit": 10_000,
        "offset": 0,
        **{f"new_{name}": value for name, value in new.items()},
        "new_due_date": None,
        **{f"set_{name}": True for name in ("description", "priority", "due_date")},
    }
