"""Every statement about users and tasks, and values for its parameters."""

from uuid import UUID

from models import queries
from models.postgres.statements import Statement

_exported = {name: getattr(queries, name) for name in queries.__all__}
_named = {name: value for name, value in _exported.items() if isinstance(value, Statement)}
_lists = {
    " ".join((name.replace("_", " "), *which)): statement
    for name, value in _exported.items()
    if isinstance(value, dict)
    for which, statement in value.items()
    if isinstance(statement, Statement)
}

STATEMENTS: dict[str, Statement] = {
    name.strip("_").lower(): statement for name, statement in (_named | _lists).items()
}
"""Found by inspection, so new statements are tested, too."""

SERVED = {name: each for name, each in STATEMENTS.items() if name not in {"erase", "export"}}
"""All but those that only commands run."""

OF_A_USER = {name: each for name, each in STATEMENTS.items() if "user_id" in each.parameters}
"""All but the existence probe."""

LISTS = [name for name in STATEMENTS if "list" in name]
WRITING = [name for name, statement in STATEMENTS.items() if statement.writes]


def values_for(user_id: str, task_id: UUID) -> dict[str, object]:
    """Return values for all parameters, with which a statement does all that it can.

    It writes every field, filters by nothing, and lists all changes.
    """
    return {
        **dict.fromkeys(queries.PARAMETERS),
        **dict.fromkeys(queries.SET_FLAGS.values(), True),
        "user_id": user_id,
        "task_id": task_id,
        "new_title": "new",
        "new_description": "new",
        "new_completed": True,
        "new_priority": "low",
        "new_tags": ["new"],
        "key": "key",
        "fingerprint": "fingerprint",
        "key_retention": "24 hours",
        "deletion_retention": "90 days",
        "limit": 10_000,
        "offset": 0,
        "completed": [True, False],
        "since": 0,
        "since_id": UUID(int=0),
        "unless": 0,
        "base": 0,
    }
