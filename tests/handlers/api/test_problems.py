"""Problems: each says what the contract's example says, and a fault says nothing else."""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from handlers.api.problem_types import PROBLEM_TYPES
from harness.anonymous import AnonymousClient
from harness.clients import AuthedClient, token
from harness.contract import CONTRACT, OPERATIONS
from harness.in_process import InProcessClient
from harness.operation_index import Operation
from harness.operations import SECURED, UNKNOWN_TASK_ID, body, name, path
from harness.service import Service
from models import tasks
from models.postgres.database import Database

EXAMPLES: dict[str, dict[str, Any]] = {
    key: example["value"]
    for key, example in CONTRACT.document["components"]["examples"].items()
    if "status" in example["value"] and "type" in example["value"]
}
SECRET = "todo.tasks SELECT psycopg /home/api/models/task.py password=hunter2"
FAILURES: dict[str, Exception] = {
    "an error of ours": RuntimeError(SECRET),
    "a wrong value": ValueError(SECRET),
    "a missing key": KeyError(SECRET),
    "an assertion": AssertionError(SECRET),
    "a recursion": RecursionError(SECRET),
    "an error of PostgreSQL": psycopg.errors.UndefinedTable(SECRET),
    "an error of the system": OSError(28, SECRET),
    "no memory": MemoryError(SECRET),
    "a group of errors": ExceptionGroup(SECRET, [ValueError(SECRET)]),
    "a timeout": TimeoutError(SECRET),
}


def without_instance(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "instance"}


# The contract's examples


def test_every_kind_of_problem_has_an_example() -> None:
    shown = {example["status"] for example in EXAMPLES.values()}
    assert shown == PROBLEM_TYPES.keys() - {405}  # which no operation answers


@pytest.mark.parametrize("key", EXAMPLES)
def test_the_examples_are_of_kinds_that_there_are(key: str) -> None:
    example = EXAMPLES[key]
    kind = PROBLEM_TYPES[example["status"]]
    assert (example["type"], example["title"]) == (kind.type, kind.title)


Said = Callable[[AuthedClient], Any]


def changed_meanwhile(alice: AuthedClient) -> Any:
    url = f"/api/tasks/{alice.create_task()['id']}"
    return alice.put(url, json={"title": "x"}, headers={"If-Match": '"0"'})


SAID: dict[str, Said] = {
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
    "StaleTask": changed_meanwhile,
    "TooLarge": lambda alice: alice.post("/api/tasks", content=b" " * 65_537),
    "NotJson": lambda alice: alice.post("/api/tasks", data={"title": "x"}),
}


@pytest.mark.parametrize("key", SAID)
def test_what_the_service_says_is_what_the_example_shows(alice: AuthedClient, key: str) -> None:
    answer = SAID[key](alice)
    assert answer.status_code == EXAMPLES[key]["status"]
    assert without_instance(answer.json()) == without_instance(EXAMPLES[key])


def test_every_example_of_a_problem_is_tried() -> None:
    assert EXAMPLES.keys() == SAID.keys() | {"OurFault", "Unavailable", "NoKeys"}


# Faults


def ask(client: InProcessClient, operation: Operation) -> Awaitable[Any]:
    return client.request(operation.method, path(operation), **body(operation))


def broken(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """Let everything that handlers ask of the models end in this fault."""

    async def fail(*_: Any, **__: Any) -> None:
        raise fault

    for function in ("list", "create", "get", "update", "complete", "delete"):
        plural = "s" if function == "list" else ""
        monkeypatch.setattr(tasks, f"{function}_task{plural}", fail)
    monkeypatch.setattr(Database, "ready", fail)


def assert_says_nothing(answer: Any, url: str) -> None:
    assert answer.status_code == 500
    assert answer.json() == EXAMPLES["OurFault"] | {"instance": url}
    assert "hunter2" not in f"{answer.headers}{answer.text}"


NEEDS_DATABASE = [*SECURED, OPERATIONS["get_readiness"]]


@pytest.mark.anyio
@pytest.mark.parametrize("operation", NEEDS_DATABASE, ids=name)
async def test_a_fault_says_nothing_to_the_client_and_everything_to_the_log(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    operation: Operation,
) -> None:
    broken(monkeypatch, RuntimeError(SECRET))
    async with InProcessClient() as client:
        answer = await ask(client, operation)
    assert_says_nothing(answer, path(operation))
    (record,) = (each for each in caplog.records if each.levelno >= logging.ERROR)
    assert answer.headers["x-request-id"] in record.getMessage()
    assert record.exc_info
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("how", FAILURES)
async def test_no_fault_is_taken_for_anything_else(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    broken(monkeypatch, FAILURES[how])
    async with InProcessClient() as client:
        assert_says_nothing(await client.get("/api/tasks"), "/api/tasks")


@pytest.mark.anyio
@pytest.mark.parametrize("operation", NEEDS_DATABASE, ids=name)
async def test_without_its_database_the_service_is_unavailable(operation: Operation) -> None:
    async with InProcessClient() as client:
        answer = await ask(client, operation)
    assert answer.status_code == 503
    assert answer.json() == EXAMPLES["Unavailable"] | {"instance": path(operation)}
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.anyio
async def test_what_needs_no_database_is_answered_without_it() -> None:
    async with InProcessClient() as client:
        for status, answer in (
            (200, await client.get("/health")),
            (200, await client.get("/docs")),
            (200, await client.get("/openapi.yaml")),
            (400, await client.get("/api/tasks?limit=0")),
            (400, await client.post("/api/tasks", json={})),
            (401, await client.get("/api/tasks", headers={"Authorization": ""})),
            (403, await client.get("/api/bob/tasks")),
            (404, await client.get("/nope")),
            (405, await client.delete("/api/tasks")),
            (413, await client.post("/api/tasks", content=b" " * 65_537)),
            (415, await client.post("/api/tasks", content=b"{}")),
        ):
            assert answer.status_code == status


# What every answer has


def test_every_answer_has_an_id_of_its_own_that_the_log_knows(
    service: Service, alice: AuthedClient
) -> None:
    answers = [
        alice.get("/api/tasks"),
        alice.post("/api/tasks", json={}),
        alice.get("/nope"),
        alice.get("/docs"),
        alice.options("/health"),
        alice.get("/api/tasks", headers={"X-Request-Id": "chosen by a client"}),
    ]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    log = service.log.read_text()
    assert all(
        re.search(f" {answer.status_code} .* {answer.headers['x-request-id']}\n", log)
        for answer in answers
    )
    assert "chosen by a client" not in log


def test_every_answer_is_taken_for_what_it_says_and_tells_nothing_of_the_server(
    service: Service, alice: AuthedClient
) -> None:
    with AnonymousClient(service.url) as anonymous:
        for answer in (
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
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers.keys().isdisjoint({"server", "x-powered-by", "set-cookie"})


def test_problems_are_json_whatever_the_client_accepts(alice: AuthedClient) -> None:
    for accept in ("text/html", "application/xml", "image/*;q=0.1", "application/json", ""):
        answer = alice.get("/nope", headers={"Accept": accept})
        assert json.loads(answer.content)["status"] == 404
