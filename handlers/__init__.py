"""The register: every operation of the contract by its operationId."""

import warnings

# Connexion imports its test client, and Starlette would warn of what that uses.
warnings.filterwarnings("ignore", "Using `httpx` with `starlette.testclient`")

from handlers.health import get_health, get_readiness
from handlers.tasks import (
    complete_task,
    create_task,
    delete_task,
    get_task,
    list_tasks,
    patch_task,
    update_task,
)

__all__ = [
    "complete_task",
    "create_task",
    "delete_task",
    "get_health",
    "get_readiness",
    "get_task",
    "list_tasks",
    "patch_task",
    "update_task",
]
