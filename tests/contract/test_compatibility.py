"""The contract stays compatible with the last release, and the comparison finds changes."""

import re
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.compatibility import RELEASED, breaking_changes
from harness.node import Node, find_node, in_ci
from harness.service import ROOT
from openapi import contract as contracts

REMOVED = object()
COLOUR = {"type": "string", "maxLength": 9, "description": "Of what colour it is."}
ZONE = {"name": "zone", "in": "query", "description": "Where.", "schema": COLOUR}
LIVE = {"operationId": "get_life", "responses": {"200": {"description": "Yes."}}}
STALE = {"$ref": "#/components/responses/PreconditionFailed"}

# Maps part of the message about a change to its place, as keys of the contract, and the new
# value. All changes of a group are made together; `+` appends to a list.
Changes = dict[str, tuple[str, Any]]
OPERATIONS: Changes = {
    "Operation `PUT /api/tasks/{task_id}` was removed": (
        "paths /api/tasks/{task_id} put",
        REMOVED,
    ),
    "Path `/health` was removed": ("paths /health", REMOVED),
    "from 'list_tasks' to 'find_tasks'": ("paths /api/tasks get operationId", "find_tasks"),
    "Response `201` was removed": ("paths /api/tasks post responses 201", REMOVED),
    "Response `404` was removed": ("paths /api/tasks/{task_id} get responses 404", REMOVED),
    "`X-Total-Count` was removed": (
        "components responses TaskList headers X-Total-Count",
        REMOVED,
    ),
    "`ETag` of a 200 may be missing": ("components headers ETag required", REMOVED),
    "get_readiness: A token is wanted": ("paths /ready get security", REMOVED),
    "user-scoped form of the paths was changed": ("x-user-scoped-paths prefix", "/{user_id}"),
    "largest body was made smaller": ("x-max-body-bytes", 1024),
}
REQUESTS: Changes = {
    "`TaskCreate` became required: `priority`": (
        "components schemas TaskCreate required +",
        "priority",
    ),
    "`completed` of `TaskUpdate` was removed": (
        "components schemas TaskUpdate properties completed",
        REMOVED,
    ),
    "Enum of `StatusFilter` lost values: 'pending'": (
        "components schemas StatusFilter enum",
        ["all"],
    ),
    "`maxLength` of `title` changed": ("components schemas Title maxLength", 100),
    "Upper bound changed from '<= 10000'": ("components parameters Limit schema maximum", 100),
    "default of `sort` was changed": ("components schemas SortKey default", "title"),
    "`If-Match` header parameter became required": (
        "components parameters IfMatch required",
        True,
    ),
    "`offset` query parameter was renamed": ("components parameters Offset name", "skip"),
    "Required `zone` query parameter was added": (
        "paths /api/tasks get parameters +",
        ZONE | {"required": True},
    ),
    "Request body became required": ("components requestBodies Completion required", True),
    "`description` narrowed": ("components schemas Description nullable", False),
}
RESPONSES: Changes = {
    "`priority` gained values: 'asap'": ("components schemas Priority enum +", "asap"),
    "`status` gained values: 'late'": (
        "components schemas Health properties status enum +",
        "late",
    ),
    "`Task` are no longer required": ("components schemas Task required", ["id", "title"]),
    "`user_id` of `Task` was removed": ("components schemas Task properties user_id", REMOVED),
    "`created_at` widened": ("components schemas CreatedAt nullable", True),
    "`completed` widened": ("components schemas Completed type", "string"),
    "`Problem` are no longer required": ("components schemas Problem required", ["type"]),
    "Media type `application/problem+json` was removed": (
        "components responses NotFound content application/problem+json",
        REMOVED,
    ),
}
COMPATIBLE: Changes = {
    "another description": ("components schemas Title description", "What has to be done."),
    "another example": ("components schemas Title example", "Feed the cat"),
    "a later version": ("info version", "1.9.0"),
    "a new operation": ("paths /live", {"get": LIVE}),
    "a deprecation": ("paths /api/tasks/{task_id} put deprecated", True),
    "a new parameter": ("paths /api/tasks get parameters +", ZONE),
    "a new parameter value": ("components schemas SortKey enum +", "tags"),
    "a higher limit": ("components parameters Limit schema maximum", 20_000),
    "a larger body": ("x-max-body-bytes", 131_072),
    "a new request field": ("components schemas TaskCreate properties colour", COLOUR),
    "a new response field": ("components schemas Task properties colour", COLOUR),
    "a new required response field": ("components schemas Task required +", "colour"),
    "a new response header": (
        "components responses TaskList headers Zone",
        {"schema": COLOUR},
    ),
    "a new code of a validation error": (
        "components schemas ValidationError properties code enum +",
        "too_late",
    ),
    "a new error": ("paths /api/tasks/{task_id} get responses 412", STALE),
}


@pytest.fixture(scope="session")
def node() -> Node:
    node = find_node(RELEASED.parent)
    if not node:
        assert not in_ci()
        pytest.skip("THE CONTRACT WAS NOT COMPARED WITH THE LAST RELEASE: Node.js not found")
    node.install()
    return node


@pytest.fixture
def compare(node: Node, tmp_path: Path) -> Callable[[Changes], list[str]]:
    """Return a function that compares a changed contract with the released one."""

    def changed(changes: Changes) -> list[str]:
        document = yaml.safe_load(RELEASED.read_text())
        for where, value in changes.values():
            change(document, where.split(), value)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return breaking_changes(node, path)

    return changed


def change(document: Any, where: list[str], value: Any) -> None:
    *parents, last = where
    node = reduce(getitem, parents, document)
    if value is REMOVED:
        del node[last]
    elif last == "+":
        node.append(value)
    else:
        node[last] = value


def test_the_contract_breaks_no_client_of_the_last_release(node: Node) -> None:
    assert breaking_changes(node, contracts.PATH) == []


@pytest.mark.parametrize("group", [OPERATIONS, REQUESTS, RESPONSES])
def test_a_change_that_breaks_clients_is_found(
    group: Changes, compare: Callable[[Changes], list[str]]
) -> None:
    found = compare(group)
    missed = [said for said in group if not any(said in each for each in found)]
    assert missed == [], found


def test_a_renamed_path_parameter_is_found(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "changed.yaml"
    path.write_text(RELEASED.read_text().replace("task_id", "id"))
    assert "get_task: The path was changed." in breaking_changes(node, path)


def test_a_compatible_change_is_not_reported(
    compare: Callable[[Changes], list[str]],
) -> None:
    assert compare(COMPATIBLE) == []


def test_only_a_new_major_version_may_break_clients(
    compare: Callable[[Changes], list[str]],
) -> None:
    assert compare(REQUESTS | {"": ("info version", "1.1.0")}) != []
    assert compare(REQUESTS | {"": ("info version", "2.0.0")}) == []


def test_the_released_contract_has_the_version_of_the_changelog() -> None:
    released = yaml.safe_load(RELEASED.read_text())["info"]["version"]
    versions = re.findall(
        r"^## ([0-9.]+) \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert released == versions[0]
