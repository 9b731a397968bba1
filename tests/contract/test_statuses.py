"""Every status that the contract lists can occur, and no other does: each is provoked."""

import asyncio
from collections.abc import Callable, Mapping

import httpx
import pytest

from harness.clients import AuthedClient
from harness.contract import CONTRACT, OPERATIONS, check_response
from harness.in_process import app_without_database, broken_handler, request_in_process
from harness.operations import UNKNOWN_TASK_ID, body, path, request_operation

PATHS = sorted({operation.path for operation in OPERATIONS.values()})
METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "LINK"}
JSON = {"Content-Type": "application/json"}


class Stage:
    """Where a status is provoked: Alice asks for one operation, about a task of hers."""

    def __init__(self, operation_id: str, alice: AuthedClient, bob: AuthedClient) -> None:
        self.operation = OPERATIONS[operation_id]
        self.alice = alice
        self.bob = bob
        self.task: str = alice.create_task()["id"]

    def asks(self, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Ask well, with headers besides."""
        return request_operation(self.alice, self.operation, self.task, headers=headers)

    def sends(self, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Ask with a body of another kind, even if none is expected."""
        where = path(self.operation, self.task)
        return self.alice.request(
            self.operation.method, where, content=content, headers=headers
        )

    def asks_inside(self) -> httpx.Response:
        """Ask a service in this process, which has no database."""
        app = app_without_database()
        return asyncio.run(request_in_process(app, self.operation, self.alice.id))


def with_an_unknown_parameter(stage: Stage) -> httpx.Response:
    where = f"{path(stage.operation, stage.task)}?colour=red"
    return stage.alice.request(stage.operation.method, where, **body(stage.operation))


def without_a_token(stage: Stage) -> httpx.Response:
    with httpx.Client(base_url=stage.alice.base_url) as nobody:
        return request_operation(nobody, stage.operation, stage.task)


def as_somebody_else(stage: Stage) -> httpx.Response:
    """Ask as Bob for Alice's task; where no task is asked for, for Alice's tasks."""
    has_no_task = stage.operation.secured and "{task_id}" not in stage.operation.path
    user = stage.alice.id if has_no_task else None
    return request_operation(stage.bob, stage.operation, stage.task, user=user)


def with_a_fault_inside(stage: Stage) -> httpx.Response:
    with broken_handler(stage.operation.operation_id) as secret:
        answer = stage.asks_inside()
    assert secret not in answer.text
    return answer


WAYS: dict[str, Callable[[Stage], httpx.Response]] = {
    "200": Stage.asks,
    "201": Stage.asks,
    "204": Stage.asks,
    "304": lambda stage: stage.asks({"If-None-Match": "*"}),
    "400": with_an_unknown_parameter,
    "401": without_a_token,
    "403": as_somebody_else,
    "404": lambda stage: request_operation(stage.alice, stage.operation, UNKNOWN_TASK_ID),
    "412": lambda stage: stage.asks({"If-Match": '"0"'}),
    "413": lambda stage: stage.sends(b" " * (CONTRACT.document["x-max-body-bytes"] + 1), JSON),
    "415": lambda stage: stage.sends(b"title=x", {"Content-Type": "multipart/form-data"}),
    "500": with_a_fault_inside,
    "503": Stage.asks_inside,
}


def test_there_is_a_way_to_every_status_of_the_contract() -> None:
    documented = {status for each in OPERATIONS.values() for status in each.responses}
    assert documented == set(WAYS)


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_documented_status_occurs_and_another_does_not(
    operation_id: str, status: str, alice: AuthedClient, bob: AuthedClient
) -> None:
    stage = Stage(operation_id, alice, bob)
    answer = WAYS[status](stage)
    check_response(answer)  # so that what occurs instead is documented, too
    occurred = str(answer.status_code)
    assert (occurred == status) is (status in stage.operation.responses), answer.text
    assert occurred not in {"500", "503"} - {status}, answer.text


@pytest.mark.parametrize("where", PATHS)
def test_any_other_method_is_answered_405_with_those_that_are_allowed(
    where: str, alice: AuthedClient
) -> None:
    known = {each.method for each in OPERATIONS.values() if each.path == where}
    allowed = known | ({"HEAD"} if "GET" in known else set())
    for method in sorted(METHODS - known):
        answer = alice.request(method, where.replace("{task_id}", UNKNOWN_TASK_ID))
        assert answer.status_code == 405, method
        assert set(answer.headers["Allow"].split(", ")) == allowed
