"""Problem documents: they match the contract's examples and reveal no internal error."""

import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from handlers.api.problem_types import PROBLEM_TYPES
from handlers.observability.logs import TEXT_FORMAT, TextFormatter
from harness.anonymous import AnonymousClient
from harness.clients import AuthedClient, token
from harness.contract import CONTRACT, OPERATIONS
from harness.in_process import InProcessClient
from harness.operation_index import Operation
from harness.operations import SECURED, UNKNOWN_TASK_ID, body, name, path, query
from harness.service import Service
from models import changes, lists, tasks
from models.postgres.database import Database

EXAMPLES: dict[str, dict[str, Any]] = {
    key: example["value"]
    for key, example in CONTRACT.document["components"]["examples"].items()
    if "status" in example["value"] and "type" in example["value"]
}
SECRET = "todo.tasks SELECT psycopg /home/api/models/task.py password=hunter2"
ERRORS: dict[str, Exception] = {
    "an unexpected error": RuntimeError(SECRET),
    "an invalid value": ValueError(SECRET),
    "a missing key": KeyError(SECRET),
    "a failed assertion": AssertionError(SECRET),
    "a recursion error": RecursionError(SECRET),
    "a PostgreSQL error": psycopg.errors.UndefinedTable(SECRET),
    "an operating system error": OSError(28, SECRET),
    "out of memory": MemoryError(SECRET),
    "a group of errors": ExceptionGroup(SECRET, [ValueError(SECRET)]),
    "a timeout": TimeoutError(SECRET),
}


def without_request(problem: dict[str, Any]) -> dict[str, Any]:
    """Remove what differs between requests."""
    varying = {"instance", "request_id"}
    return {key: value for key, value in problem.items() if key not in varying}


# The contract's examples


def test_every_problem_type_has_an_example() -> None:
    shown = {example["type"] for example in EXAMPLES.values()}
    undocumented = {"method-not-allowed"}  # no operation documents a 405
    assert shown == {PROBLEM_TYPES[slug].type for slug in PROBLEM_TYPES.keys() - undocumented}


@pytest.mark.parametrize("key", EXAMPLES)
def test_the_examples_are_of_existing_problem_types(key: str) -> None:
    example = EXAMPLES[key]
    problem_type = PROBLEM_TYPES[example["type"].removeprefix("/problems/")]
    assert (example["title"], example["status"]) == (problem_type.title, problem_type.status)


SendRequest = Callable[[AuthedClient], Any]


def stale_update(alice: AuthedClient) -> Any:
    url = f"/api/tasks/{alice.create_task()['id']}"
    return alice.put(url, json={"title": "x"}, headers={"If-Match": '"0"'})


def reused_key(alice: AuthedClient) -> Any:
    headers = {"Idempotency-Key": "k"}
    alice.post("/api/tasks", json={"title": "x"}, headers=headers)
    return alice.post("/api/tasks", json={"title": "y"}, headers=headers)


REQUESTS: dict[str, SendRequest] = {
    "InvalidBody": lambda alice: alice.post(
        "/api/tasks", json={"title": "x" * 201, "colour": "green"}
    ),
    "InvalidParameter": lambda alice: alice.get("/api/tasks?limit=10001"),
    "MissingToken": lambda alice: alice.get("/api/tasks", headers={"Authorization": ""}),
    "ExpiredToken": lambda alice: alice.get(
        "/api/tasks", headers={"Authorization": f"Bearer {token(alice.id, exp=1)}"}
    ),
    "NotYours": lambda alice: alice.get("/api/bob/tasks"),
    "NoSuchTask": lambda alice: alice.get(f"/api/tasks/{UNKNOWN_TASK_ID}"),
    "StaleTask": stale_update,
    "OldToken": lambda alice: alice.get("/api/tasks/changes?since=r1"),
    "ReusedKey": reused_key,
    "TooLarge": lambda alice: alice.post("/api/tasks", content=b" " * 65_537),
    "NotJson": lambda alice: alice.post("/api/tasks", data={"title": "x"}),
}


@pytest.mark.parametrize("key", REQUESTS)
def test_the_service_returns_what_the_example_shows(alice: AuthedClient, key: str) -> None:
    response = REQUESTS[key](alice)
    assert response.status_code == EXAMPLES[key]["status"]
    assert without_request(response.json()) == without_request(EXAMPLES[key])
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_every_example_of_a_problem_is_tested() -> None:
    elsewhere = {
        *("Blocked", "ServerFault", "Unavailable", "NoKeys"),
        *("OutcomeUnknown", "LongTarget", "SlowRequest", "LargeHeaders"),
        *("LimitReached", "InvalidTokens"),
    }
    assert EXAMPLES.keys() == REQUESTS.keys() | elsewhere


# Internal errors


def send(client: InProcessClient, operation: Operation) -> Awaitable[Any]:
    request = {**query(operation), **body(operation)}
    return client.request(operation.method, path(operation), **request)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Make every function of the models that handlers call raise this error."""

    async def fail(*_: Any, **__: Any) -> None:
        raise error

    for module in (lists, tasks, changes):
        for function, _ in inspect.getmembers(module, inspect.iscoroutinefunction):
            monkeypatch.setattr(module, function, fail)
    monkeypatch.setattr(Database, "ready", fail)


def assert_reveals_nothing(response: Any, url: str) -> None:
    assert response.status_code == 500
    request_id = response.headers["x-request-id"]
    expected = EXAMPLES["ServerFault"] | {"instance": url, "request_id": request_id}
    assert response.json() == expected
    assert "hunter2" not in f"{response.headers}{response.text}"


NEEDS_DATABASE = [*SECURED, OPERATIONS["get_readiness"]]


@pytest.mark.anyio
@pytest.mark.parametrize("operation", NEEDS_DATABASE, ids=name)
async def test_an_internal_error_is_logged_in_full_and_not_shown_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    operation: Operation,
) -> None:
    fail_with(monkeypatch, RuntimeError(SECRET))
    monkeypatch.setattr(caplog.handler, "formatter", TextFormatter(TEXT_FORMAT))
    async with InProcessClient() as client:
        response = await send(client, operation)
    assert_reveals_nothing(response, path(operation))
    (record,) = (each for each in caplog.records if each.levelno >= logging.ERROR)
    assert record.exc_info
    assert f"the request failed {response.headers['x-request-id']}\n" in caplog.text
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("how", ERRORS)
async def test_every_unexpected_error_is_an_internal_server_error(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    fail_with(monkeypatch, ERRORS[how])
    async with InProcessClient() as client:
        assert_reveals_nothing(await client.get("/api/tasks"), "/api/tasks")


@pytest.mark.anyio
@pytest.mark.parametrize("operation", NEEDS_DATABASE, ids=name)
async def test_without_its_database_the_service_is_unavailable(operation: Operation) -> None:
    async with InProcessClient() as client:
        response = await send(client, operation)
    assert response.status_code == 503
    assert without_request(response.json()) == without_request(EXAMPLES["Unavailable"])
    assert response.json()["instance"] == path(operation)
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.anyio
async def test_requests_that_need_no_database_work_without_it() -> None:
    async with InProcessClient() as client:
        for status, response in (
            (200, await client.get("/health")),
            (200, await client.get("/docs")),
            (200, await client.get("/openapi.yaml")),
            (400, await client.get("/api/tasks?limit=0")),
            (400, await client.post("/api/tasks", json={})),
            (401, await client.get("/api/tasks", headers={"Authorization": ""})),
            (403, await client.get("/api/bob/tasks")),
            (404, await client.get("/nope")),
            (405, await client.put("/api/tasks")),
            (413, await client.post("/api/tasks", content=b" " * 65_537)),
            (415, await client.post("/api/tasks", content=b"{}")),
        ):
            assert response.status_code == status


# Every response


def test_every_response_has_a_unique_request_id_that_is_logged(
    service: Service, alice: AuthedClient
) -> None:
    responses = [
        alice.get("/api/tasks"),
        alice.post("/api/tasks", json={}),
        alice.get("/nope"),
        alice.get("/docs"),
        alice.options("/health"),
        alice.get("/api/tasks", headers={"X-Request-Id": "chosen by a client"}),
    ]
    ids = {response.headers["x-request-id"] for response in responses}
    assert len(ids) == len(responses)
    log = service.log.read_text()
    assert all(
        re.search(f" {response.status_code} .* {response.headers['x-request-id']}\n", log)
        for response in responses
    )
    assert "chosen by a client" not in log


def test_every_response_forbids_sniffing_and_does_not_name_the_server(
    service: Service, alice: AuthedClient
) -> None:
    with AnonymousClient(service.url) as anonymous:
        for response in (
            alice.get("/api/tasks"),
            alice.post("/api/tasks", json={"title": "x"}),
            alice.post("/api/tasks", json={}),
            anonymous.get("/api/tasks"),
            anonymous.get("/nope"),
            anonymous.delete("/docs"),
            anonymous.get("/docs"),
            anonymous.get("/docs/swagger-ui-bundle.js"),
            anonymous.get("/openapi.json"),
            anonymous.get("/health"),
        ):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers.keys().isdisjoint({"server", "x-powered-by", "set-cookie"})


def test_problems_are_json_regardless_of_the_accept_header(alice: AuthedClient) -> None:
    for accept in ("text/html", "application/xml", "image/*;q=0.1", "application/json", ""):
        response = alice.get("/nope", headers={"Accept": accept})
        assert json.loads(response.content)["status"] == 404
