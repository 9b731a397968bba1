"""The register: the handler of every operation of the contract, by its operationId."""

import warnings

from handlers.changes import list_changes
from handlers.health import get_health, get_readiness
from handlers.tasks import (
    clear_completed_tasks,
    complete_task,
    create_task,
    delete_task,
    get_task,
    list_tasks,
    patch_task,
    update_task,
)

with warnings.catch_warnings(action="ignore"):
    # Connexion imports Starlette's test client, which warns about its use of httpx.
    import connexion  # noqa: F401

__all__ = [
    "clear_completed_tasks",
    "complete_task",
    "create_task",
    "delete_task",
    "get_health",
    "get_readiness",
    "get_task",
    "list_changes",
    "list_tasks",
    "patch_task",
    "update_task",
]
