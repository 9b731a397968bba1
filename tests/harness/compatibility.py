"""Breaking changes: the contract compared with the one that was released last.

Redocly rates most changes. Changes that it considers harmless but that would break clients
are detected here. The policy is in the contract's section "Versioning and deprecation".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.node import Node
from harness.operation_index import Operation, operations_of
from harness.redocly import report
from openapi import contract as contracts
from openapi.contract import Contract

# The only enum of a response that may gain values in any version.
CODES = "/properties/errors/items/properties/code"

RELEASED = Path(__file__).parents[1] / "contract" / "released.yaml"


def breaking_changes(node: Node, current: Path, released: Path = RELEASED) -> list[str]:
    """Return every change that would break clients of the released contract.

    None if `info.version` has a higher major number. Raises ToolError.
    """
    before, now = contracts.load(released), contracts.load(current)
    if _major(now) > _major(before):
        return []
    compared = report(node, "diff", str(released), str(current))
    rated = [
        f"{change['path']}: {verdict['message']}"
        for change in compared["changes"]
        for verdict in change["verdicts"]
        if verdict["impact"] == "major" and not _is_new_code(change["path"], verdict["message"])
    ]
    return [*rated, *_changes_unrated_by_redocly(before, now)]


def _is_new_code(path: str, message: str) -> bool:
    return path.endswith(CODES) and "gained values" in message


def _major(contract: Contract) -> int:
    return int(contract.document["info"]["version"].partition(".")[0])


def _changes_unrated_by_redocly(before: Contract, now: Contract) -> Iterator[str]:
    old, new = operations_of(before), operations_of(now)
    if before.user_scope != now.user_scope:
        yield "The user-scoped form of the paths was changed."
    if before.document["x-max-body-bytes"] > now.document["x-max-body-bytes"]:
        yield "The largest body was made smaller."
    for name in old.keys() & new.keys():
        for change in _operation_changes(old[name], new[name]):
            yield f"{name}: {change}"


def _operation_changes(before: Operation, now: Operation) -> Iterator[str]:
    if before.path != now.path:  # generated clients use the names of its parameters
        yield "The path was changed."
    if now.secured and not before.secured:
        yield "A token is wanted where none was."
    defaults = _defaults(before), _defaults(now)
    for name in defaults[0].keys() & defaults[1].keys():
        if defaults[0][name] != defaults[1][name]:
            yield f"The default of `{name}` was changed."
    for status in before.responses.keys() & now.responses.keys():
        for header in _required(before.responses[status]) - _required(now.responses[status]):
            yield f"The header `{header}` of a {status} may be missing."


def _defaults(operation: Operation) -> dict[str, Any]:
    return {each["name"]: each["schema"].get("default") for each in operation.parameters}


def _required(response: Any) -> set[str]:
    headers = response.get("headers", {}).items()
    return {name for name, header in headers if header.get("required")}
