"""The examples of the contract: valid, consistent, and what the service really returns."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import handlers
from harness import document, raw_http
from harness.clients import AuthedClient, token
from harness.contract import CONTRACT, OPERATIONS
from harness.document import COMPONENTS
from harness.in_process import (
    app_without_database,
    broken_handler,
    exceed_the_limit,
    request_in_process,
)
from harness.jwks_server import KeyPair
from harness.operations import body, path, query
from models.blocked_users import BlockedUsers
from models.errors import OutcomeUnknown
from openapi.schemas import Schema

# Only the service can make values of these; Swagger UI would send an example.
OPAQUE = ["Cursor", "Since"]
SIMPLE = {"string", "integer", "boolean"}
EXAMPLES = {
    f"{where}: {name}": (value["schema"], example)
    for where, value in document.values()
    for name, example in document.examples(value).items()
} | {
    where: (schema, schema["example"])
    for where, schema in document.schemas()
    if "example" in schema
}
SHARED = {name: each["value"] for name, each in COMPONENTS["examples"].items()}
TASKS = {name: value for name, value in SHARED.items() if "title" in value and "id" in value}
PROBLEMS = {name: value for name, value in SHARED.items() if "instance" in value}
ALICE = "k7Qm2xVbN4tRzW9yLsD3fGhJ6pCaXe1u"
WATER_THE_PLANTS = "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"
CALL_THE_BANK = "1b9e6c04-8a2d-4f37-b5c1-6d0f3e9a7c28"
DELETED = "e2c4a6b8-0d1f-4e3a-8b5c-7f9d6a4e2c10"


# ----------------------------------------------------------------------- Valid


@pytest.mark.parametrize(("schema", "example"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_is_valid(schema: Any, example: Any) -> None:
    assert Schema(CONTRACT.resolve(schema)).errors(example) == []


def test_every_parameter_header_body_and_field_has_an_example() -> None:
    without = [where for where, value in document.values() if not document.examples(value)]
    assert without == [f"#/components/parameters/{name}" for name in OPAQUE]
    assert [
        where
        for where, schema in document.schemas()
        if schema.get("type") in SIMPLE
        and "example" not in schema
        # These are inside a parameter or header, which has the example.
        and not re.fullmatch(r"#/components/(parameters|headers)/[^/]+/schema", where)
    ] == []


# ------------------------------------------------------------------ Consistent


def test_the_examples_are_about_alice_and_her_tasks() -> None:
    text = CONTRACT.text.decode()
    uuid = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    assert set(re.findall(uuid, text)) == {WATER_THE_PLANTS, CALL_THE_BANK, DELETED}
    assert set(re.findall(r"user_id: (\S+)", text)) == {ALICE}
    assert COMPONENTS["schemas"]["UserId"]["example"] == ALICE


def test_a_task_is_the_same_in_every_example() -> None:
    renamed = {**TASKS["WaterThePlants"], "title": "Water all the plants"}
    renamed["updated_at"] = TASKS["WaterAllThePlants"]["updated_at"]
    assert TASKS["WaterAllThePlants"] == renamed
    assert SHARED["AlicesTasks"] == [TASKS["WaterThePlants"], TASKS["CallTheBank"]]
    created = SHARED["AlicesTasks"]
    assert created == sorted(created, key=lambda task: task["created_at"], reverse=True)


# -------------------------------------------------------------------- Accurate


BODIES = [
    (operation_id, name)
    for operation_id, operation in OPERATIONS.items()
    for media_type in (operation.body or {}).get("content", {}).values()
    for name in media_type["examples"]
]
PARAMETERS = [
    (operation_id, parameter["name"], example)
    for operation_id, operation in OPERATIONS.items()
    for parameter in operation.parameters
    for example in document.examples(parameter).values()
]


@pytest.mark.parametrize(("operation_id", "name"), BODIES)
def test_an_example_of_a_body_can_be_sent(
    operation_id: str, name: str, alice: AuthedClient
) -> None:
    operation = OPERATIONS[operation_id]
    assert operation.body
    body = operation.body["content"]["application/json"]["examples"][name]["value"]
    where = path(operation, alice.create_task()["id"])
    response = alice.request(operation.method, where, json=body)
    assert response.is_success, response.text
    assert changed_only(response.json(), body)


def changed_only(task: Any, body: Any) -> bool:
    """Tell whether a task has the fields of the body; instants may differ in time zone."""
    instants = {"due_date", "remind_at"}
    return all(task[name] == value for name, value in body.items() if name not in instants)


@pytest.mark.parametrize(("operation_id", "name", "example"), PARAMETERS)
def test_an_example_of_a_parameter_can_be_sent(
    operation_id: str, name: str, example: Any, alice: AuthedClient
) -> None:
    operation = OPERATIONS[operation_id]
    where = path(operation, alice.create_task()["id"])
    sent = query(operation) | body(operation)
    match next(each["in"] for each in operation.parameters if each["name"] == name):
        case "path":
            where = path(operation, example)
        case "query":
            sent["params"] = {name: example}
        case "header":
            sent["headers"] = {name: example}
    response = alice.request(operation.method, where, **sent)
    # No task has the entity tag of an example.
    stale = {412} if name == "If-Match" and example != "*" else set()
    assert response.status_code in {200, 201, 204, 304, 404} | stale, response.text


@pytest.mark.parametrize("name", TASKS)
def test_an_example_of_a_task_is_what_the_service_returns(
    name: str, alice: AuthedClient
) -> None:
    example = TASKS[name]
    fields = (
        *("title", "description", "completed", "priority"),
        *("due_date", "remind_at", "tags"),
    )
    created = alice.create_task(**{field: example[field] for field in fields})
    assert list(created) == list(example)
    assert {field: created[field] for field in fields} == {f: example[f] for f in fields}


RATE_LIMITS = ("RateLimit", "RateLimit-Policy")
Provoke = Callable[[AuthedClient, AuthedClient, str], httpx.Response]


def expired(alice: AuthedClient, *_: Any) -> httpx.Response:
    stale = token(alice.id, exp=int(time.time()) - 60)
    return alice.get("/api/tasks", headers={"Authorization": f"Bearer {stale}"})


def internal_error(alice: AuthedClient, *_: Any) -> httpx.Response:
    with broken_handler("list_tasks"):
        return without_database(alice)


def without_database(alice: AuthedClient, *_: Any) -> httpx.Response:
    service = app_without_database()
    return asyncio.run(request_in_process(service, OPERATIONS["list_tasks"], alice.id))


def without_keys(*_: Any) -> httpx.Response:
    service = app_without_database(jwks_url="http://127.0.0.1:9/jwks")
    signed = KeyPair().token()
    return asyncio.run(request_in_process(service, OPERATIONS["list_tasks"], signed=signed))


def blocked(alice: AuthedClient, *_: Any) -> httpx.Response:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockedUsers, "__contains__", lambda *_: True)
        return without_database(alice)


def with_a_used_key(alice: AuthedClient, *_: Any) -> httpx.Response:
    for title in ("Water the plants", "Call the bank"):
        response = alice.post(
            "/api/tasks", json={"title": title}, headers={"Idempotency-Key": "1"}
        )
    return response


def beyond_the_limit(alice: AuthedClient, *_: Any) -> httpx.Response:
    return exceed_the_limit(OPERATIONS["list_tasks"], alice.id)


def with_invalid_tokens(alice: AuthedClient, *_: Any) -> httpx.Response:
    forged = token(alice.id, secret="another secret, as long as the one in use")
    return exceed_the_limit(OPERATIONS["list_tasks"], alice.id, signed=forged)


def with_a_lost_connection(alice: AuthedClient, *_: Any) -> httpx.Response:
    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "list_tasks", lose)
        return without_database(alice)


def sending(request: bytes) -> Provoke:
    """Return a function that sends exactly these bytes."""

    def send(alice: AuthedClient, *_: Any) -> httpx.Response:
        address = (alice.base_url.host, alice.base_url.port)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(request)
            return raw_http.read_response(connection)

    return send


PROVOCATIONS: dict[str, Provoke] = {
    "InvalidBody": lambda alice, *_: alice.post(
        "/api/tasks", json={"title": "x" * 201, "colour": "green"}
    ),
    "InvalidParameter": lambda alice, *_: alice.get("/api/tasks?limit=10001"),
    "MissingToken": lambda alice, *_: httpx.get(f"{alice.base_url}/api/tasks"),
    "ExpiredToken": expired,
    "NotYours": lambda _, bob, task: bob.get(f"/api/tasks/{task}"),
    "Blocked": blocked,
    "NoSuchTask": lambda alice, *_: alice.get(f"/api/tasks/{DELETED}"),
    "OldToken": lambda alice, *_: alice.get("/api/tasks/changes?since=r1"),
    "StaleTask": lambda alice, _, task: alice.put(
        f"/api/tasks/{task}", json={"title": "x"}, headers={"If-Match": '"2"'}
    ),
    "TooLarge": lambda alice, *_: alice.post("/api/tasks", json={"title": "x" * 65_536}),
    "NotJson": lambda alice, *_: alice.post("/api/tasks", data={"title": "x"}),
    "ReusedKey": with_a_used_key,
    "LimitReached": beyond_the_limit,
    "InvalidTokens": with_invalid_tokens,
    "ServerFault": internal_error,
    "Unavailable": without_database,
    "NoKeys": without_keys,
    "OutcomeUnknown": with_a_lost_connection,
    "LongTarget": sending(b"GET /%b HTTP/1.1\r\nHost: test\r\n\r\n" % (b"x" * 65_536)),
    "SlowRequest": sending(b"GET /api/tasks HTTP/1.1\r\nHost: test\r\n"),
    "LargeHeaders": sending(b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 101 + b"\r\n"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_of_a_problem_is_what_the_service_returns(
    name: str, alice: AuthedClient, bob: AuthedClient
) -> None:
    task = alice.create_task()["id"]
    response = PROVOCATIONS[name](alice, bob, task)
    expected = json.loads(json.dumps(PROBLEMS[name]).replace(WATER_THE_PLANTS, task))
    expected["request_id"] = response.headers["X-Request-Id"]
    assert response.json() == expected
    assert response.status_code == expected["status"]


def test_an_example_of_a_header_is_what_the_service_returns(alice: AuthedClient) -> None:
    headers = {name: header["example"] for name, header in COMPONENTS["headers"].items()}
    assert expired(alice).headers["WWW-Authenticate"] == headers["WWW-Authenticate"]
    assert without_database(alice).headers["Retry-After"] == str(headers["Retry-After"])
    created = alice.post("/api/tasks", json={"title": "Water the plants"})
    assert len(created.headers["ETag"]) == len(headers["ETag"])
    assert created.headers["Cache-Control"] == headers["Cache-Control"]
    location = headers["Location"].replace(WATER_THE_PLANTS, created.json()["id"])
    assert created.headers["Location"] == location


def test_the_examples_of_rate_limits_are_what_the_service_returns(alice: AuthedClient) -> None:
    limit, policy = (COMPONENTS["headers"][name]["example"] for name in RATE_LIMITS)
    service = app_without_database(rate_limit=((300, 60),))
    response = asyncio.run(request_in_process(service, OPERATIONS["list_tasks"], alice.id))
    assert response.headers["RateLimit-Policy"] == policy
    seconds = re.compile("t=[0-9]+")
    assert seconds.sub("", response.headers["RateLimit"]) == seconds.sub("", limit)
