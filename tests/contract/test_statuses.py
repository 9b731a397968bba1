"""Every documented status can be provoked, and no undocumented one."""

import asyncio
from collections.abc import Callable, Mapping

import httpx
import pytest

from harness.clients import AuthedClient
from harness.contract import CONTRACT, OPERATIONS, check_response
from harness.in_process import (
    app_without_database,
    broken_handler,
    exceed_the_limit,
    request_in_process,
)
from harness.operations import UNKNOWN_TASK_ID, body, path, query, request_operation

PATHS = sorted({operation.path for operation in OPERATIONS.values()})
METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "LINK"}
JSON = {"Content-Type": "application/json"}


class Scenario:
    """One operation on one of Alice's tasks, called in ways that provoke a status."""

    def __init__(self, operation_id: str, alice: AuthedClient, bob: AuthedClient) -> None:
        self.operation = OPERATIONS[operation_id]
        self.alice = alice
        self.bob = bob
        self.task: str = alice.create_task()["id"]

    def send_valid(self, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a valid request, with additional headers."""
        return request_operation(self.alice, self.operation, self.task, headers=headers)

    def send_body(self, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send a raw body, even if the operation has none."""
        where = path(self.operation, self.task)
        return self.alice.request(
            self.operation.method, where, content=content, headers=headers
        )

    def send_in_process(self) -> httpx.Response:
        """Send a valid request to a service in this process without a database."""
        app = app_without_database()
        return asyncio.run(request_in_process(app, self.operation, self.alice.id))


def with_an_unknown_parameter(scenario: Scenario) -> httpx.Response:
    where = f"{path(scenario.operation, scenario.task)}?colour=red"
    return scenario.alice.request(scenario.operation.method, where, **body(scenario.operation))


def without_a_token(scenario: Scenario) -> httpx.Response:
    with httpx.Client(base_url=scenario.alice.base_url) as anonymous:
        return request_operation(anonymous, scenario.operation, scenario.task)


def as_another_user(scenario: Scenario) -> httpx.Response:
    """Request Alice's task as Bob; for operations without a task, use her path."""
    has_no_task = scenario.operation.secured and "{task_id}" not in scenario.operation.path
    user = scenario.alice.id if has_no_task else None
    return request_operation(scenario.bob, scenario.operation, scenario.task, user=user)


def with_a_token_from_before_the_service(scenario: Scenario) -> httpx.Response:
    where = path(scenario.operation, scenario.task)
    return scenario.alice.request(
        scenario.operation.method,
        where,
        params={"since": "r1"} | query(scenario.operation).get("params", {}),
        **body(scenario.operation),
    )


def with_a_used_key(scenario: Scenario) -> httpx.Response:
    key = {"Idempotency-Key": scenario.task}
    scenario.alice.post("/api/tasks", json={"title": "Another task"}, headers=key)
    return scenario.send_valid(key)


def beyond_the_limit(scenario: Scenario) -> httpx.Response:
    """Exceed the user's limit; operations without a user have none."""
    if not scenario.operation.secured:
        return scenario.send_valid()
    return exceed_the_limit(scenario.operation, scenario.alice.id)


def with_internal_error(scenario: Scenario) -> httpx.Response:
    with broken_handler(scenario.operation.operation_id) as secret:
        response = scenario.send_in_process()
    assert secret not in response.text
    return response


PROVOCATIONS: dict[str, Callable[[Scenario], httpx.Response]] = {
    "200": Scenario.send_valid,
    "201": Scenario.send_valid,
    "204": Scenario.send_valid,
    "304": lambda scenario: scenario.send_valid({"If-None-Match": "*"}),
    "400": with_an_unknown_parameter,
    "401": without_a_token,
    "403": as_another_user,
    "404": lambda scenario: request_operation(
        scenario.alice, scenario.operation, UNKNOWN_TASK_ID
    ),
    "410": with_a_token_from_before_the_service,
    "412": lambda scenario: scenario.send_valid({"If-Match": '"0"'}),
    "413": lambda scenario: scenario.send_body(
        b" " * (CONTRACT.document["x-max-body-bytes"] + 1), JSON
    ),
    "415": lambda scenario: scenario.send_body(
        b"title=x", {"Content-Type": "multipart/form-data"}
    ),
    "422": with_a_used_key,
    "429": beyond_the_limit,
    "500": with_internal_error,
    "503": Scenario.send_in_process,
}


def test_every_documented_status_is_provoked() -> None:
    documented = {status for each in OPERATIONS.values() for status in each.statuses}
    assert documented == set(PROVOCATIONS)


@pytest.mark.parametrize("status", PROVOCATIONS)
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_status_occurs_if_and_only_if_it_is_documented(
    operation_id: str, status: str, alice: AuthedClient, bob: AuthedClient
) -> None:
    scenario = Scenario(operation_id, alice, bob)
    response = PROVOCATIONS[status](scenario)
    check_response(response)  # any status that occurs must be documented
    occurred = str(response.status_code)
    assert (occurred == status) is (status in scenario.operation.statuses), response.text
    assert occurred not in {"500", "503"} - {status}, response.text


@pytest.mark.parametrize("where", PATHS)
def test_any_other_method_gets_405_and_the_allowed_methods(
    where: str, alice: AuthedClient
) -> None:
    known = {each.method for each in OPERATIONS.values() if each.path == where}
    allowed = known | ({"HEAD"} if "GET" in known else set())
    for method in sorted(METHODS - known):
        response = alice.request(method, where.replace("{task_id}", UNKNOWN_TASK_ID))
        assert response.status_code == 405, method
        assert set(response.headers["Allow"].split(", ")) == allowed
