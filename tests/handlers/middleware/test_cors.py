"""CORS: the frontend's origins may ask and read, errors too; no other page may."""

from itertools import product
from typing import Any

import httpx
import pytest

from handlers.middleware.cors import EXPOSED_HEADERS
from harness.anonymous import AnonymousClient
from harness.clients import AuthedClient
from harness.contract import OPERATIONS
from harness.in_process import InProcessClient
from harness.operation_index import Operation
from harness.operations import SECURED, UNKNOWN_TASK_ID, body, name, path, request_operation
from harness.service import Service
from models import tasks

FRONTEND = "http://localhost:3000"
ORIGINS = (FRONTEND, "http://localhost:3001")
FOREIGN = (
    "http://evil.example",
    "https://localhost:3000",
    "http://localhost",
    "http://localhost:30000",
    "http://localhost:3000.evil.example",
    "http://evil.example:3000",
    "http://LOCALHOST:3000",
    "http://127.0.0.1:3000",
    "http://localhost:3000/",
    "http://localhost:3000, http://evil.example",
    "localhost:3000",
    "null",
    "*",
    "",
)
TO_EXPOSE = {
    *("etag", "link", "location", "x-total-count", "ratelimit", "ratelimit-policy"),
    *("retry-after", "x-request-id"),
}
TO_SEND = {"authorization", "content-type", "if-match", "if-none-match"}
TASK = f"/api/tasks/{UNKNOWN_TASK_ID}"


def words(answer: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers[header].split(",")}


def assert_readable(answer: httpx.Response, origin: str = FRONTEND) -> None:
    """Fail unless a page of this origin can read the answer and its headers."""
    assert answer.headers.get_list("access-control-allow-origin") == [origin]
    assert answer.headers.get_list("access-control-allow-credentials") == ["true"]
    assert words(answer, "access-control-expose-headers") == TO_EXPOSE
    assert "origin" in words(answer, "vary")


def preflight(client: httpx.Client, url: str, origin: str, method: str) -> httpx.Response:
    """Ask as a browser does before it sends a request from another origin."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(TO_SEND),
    }
    return client.options(url, headers=headers)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=name)
def test_the_frontend_may_ask_for_every_operation(
    service: Service, operation: Operation, origin: str
) -> None:
    urls = [path(operation)]
    if operation.secured:
        urls.append(path(operation, user="alice"))
    with AnonymousClient(service.url) as browser:
        for url, slash in product(urls, ("", "/")):
            answer = preflight(browser, url + slash, origin, operation.method)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert operation.method.lower() in words(answer, "access-control-allow-methods")
            assert words(answer, "access-control-allow-headers") >= TO_SEND
            assert int(answer.headers["access-control-max-age"]) > 0
            assert "origin" in words(answer, "vary")


def test_what_is_exposed_is_what_the_contract_names() -> None:
    assert {header.lower() for header in EXPOSED_HEADERS} == TO_EXPOSE


ANSWERS: dict[int, tuple[str, str, dict[str, Any]]] = {
    200: ("GET", "/api/tasks", {}),
    201: ("POST", "/api/tasks", {"json": {"title": "x"}}),
    304: ("GET", "/api/tasks", {"headers": {"If-None-Match": "*"}}),
    400: ("GET", "/api/tasks?limit=0", {}),
    401: ("GET", "/api/tasks", {"headers": {"Authorization": "Bearer x"}}),
    403: ("GET", "/api/bob/tasks", {}),
    404: ("GET", TASK, {}),
    405: ("DELETE", "/api/tasks", {}),
    413: ("POST", "/api/tasks", {"content": b" " * 65_537}),
    415: ("POST", "/api/tasks", {"content": b"{}"}),
}


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("status", ANSWERS)
def test_the_frontend_may_read_every_answer(
    alice: AuthedClient, status: int, origin: str
) -> None:
    method, url, options = ANSWERS[status]
    alice.headers["Origin"] = origin
    answer = alice.request(method, url, **options)
    assert answer.status_code == status
    assert_readable(answer, origin)


def test_the_frontend_may_read_changes_and_refused_changes(alice: AuthedClient) -> None:
    task = f"/api/tasks/{alice.create_task()['id']}"
    alice.headers["Origin"] = FRONTEND
    stale = alice.put(task, json={"title": "y"}, headers={"If-Match": '"0"'})
    for status, answer in (
        (412, stale),
        (200, alice.put(task, json={"title": "y"})),
        (200, alice.patch(f"{task}/complete")),
        (200, alice.head(task)),
        (204, alice.delete(task)),
    ):
        assert answer.status_code == status
        assert_readable(answer)


@pytest.mark.parametrize("url", ["/health", "/ready", "/openapi.json", "/nope", "/docs/nope"])
def test_the_frontend_may_read_what_needs_no_token(service: Service, url: str) -> None:
    with AnonymousClient(service.url) as browser:
        assert_readable(browser.get(url, headers={"Origin": FRONTEND}))


@pytest.mark.anyio
@pytest.mark.parametrize("operation", SECURED, ids=name)
async def test_the_frontend_may_read_that_the_service_failed(
    monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    async with InProcessClient() as client:
        client.headers["Origin"] = FRONTEND
        answer = await client.request(operation.method, path(operation), **body(operation))
        assert answer.status_code == 503
        assert_readable(answer)
        function = operation.operation_id.replace("patch_task", "update_task")
        monkeypatch.setattr(tasks, function, None)
        answer = await client.request(operation.method, path(operation), **body(operation))
        assert answer.status_code == 500
        assert_readable(answer)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_may_read_nothing(alice: AuthedClient, origin: str) -> None:
    alice.headers["Origin"] = origin
    for method, url, options in ANSWERS.values():
        answer = alice.request(method, url, **options)
        assert "access-control-allow-origin" not in answer.headers
        assert "origin" in words(answer, "vary")


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_may_ask_for_nothing(service: Service, origin: str) -> None:
    # A refused preflight is for a browser, not for people, and no problem document.
    with httpx.Client(base_url=service.url, verify=False) as browser:
        for operation in SECURED:
            answer = preflight(browser, path(operation), origin, operation.method)
            assert answer.status_code == 400
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "*"])
def test_the_frontend_may_not_ask_for_methods_that_there_are_not(
    service: Service, method: str
) -> None:
    with httpx.Client(base_url=service.url, verify=False) as browser:
        assert preflight(browser, "/api/tasks", FRONTEND, method).status_code == 400


def test_options_that_are_no_preflight_are_a_method_like_any_other(alice: AuthedClient) -> None:
    alice.headers["Origin"] = FRONTEND
    answer = alice.options("/api/tasks")
    assert answer.status_code == 405
    assert_readable(answer)


def test_who_has_no_origin_hears_nothing_of_cors(alice: AuthedClient) -> None:
    for answer in (alice.get("/api/tasks"), request_operation(alice, SECURED[-1])):
        assert not any(header.startswith("access-control") for header in answer.headers)
