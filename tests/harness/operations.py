"""Requests for every operation of the contract, so tests cover new ones, too."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from harness.contract import CONTRACT, OPERATIONS
from harness.operation_index import Operation

SECURED = [operation for operation in OPERATIONS.values() if operation.secured]
BY_ID = [operation for operation in SECURED if "{task_id}" in operation.path]
UNKNOWN_TASK_ID = "00000000-0000-4000-8000-000000000000"


def name(operation: Operation) -> str:
    """Return the operationId, for the ids of parametrised tests."""
    return operation.operation_id


def path(
    operation: Operation, task_id: str = UNKNOWN_TASK_ID, *, user: str | None = None
) -> str:
    """Return the operation's path; with a `user`, in the user-scoped form."""
    concrete = operation.path.replace("{task_id}", task_id)
    assert "{" not in concrete, f"unknown path parameter in {concrete}"
    if user is not None:
        scoped, flat = CONTRACT.user_scope
        prefix = scoped.replace("{user_id}", quote(user, safe=""))
        concrete = prefix + concrete.removeprefix(flat)
    return concrete


def body(operation: Operation) -> dict[str, Any]:
    """Return the first example of the operation's body, as keyword arguments of httpx."""
    if operation.body is None:
        return {}
    examples = operation.body["content"]["application/json"]["examples"]
    return {"json": next(iter(examples.values()))["value"]}


def query(operation: Operation) -> dict[str, Any]:
    """Return the required query parameters, as keyword arguments of httpx."""
    required = {
        each["name"]: each["example"]
        for each in operation.parameters
        if each["in"] == "query" and each.get("required")
    }
    return {"params": required} if required else {}


def request_operation(
    client: httpx.Client,
    operation: Operation,
    task_id: str = UNKNOWN_TASK_ID,
    *,
    user: str | None = None,
    headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
) -> httpx.Response:
    """Request an operation, with required parameters and a valid body if it takes one."""
    return client.request(
        operation.method,
        path(operation, task_id, user=user),
        headers=headers,
        **query(operation),
        **body(operation),
    )
