"""CORS: the configured origins may send requests and read responses, other origins may not."""

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
from harness.operations import (
    SECURED,
    UNKNOWN_TASK_ID,
    body,
    name,
    path,
    query,
    request_operation,
)
from harness.problems import validation_errors
from harness.service import Service
from models import changes, lists, tasks

FRONTEND = "http://localhost:3000"
ORIGINS = (FRONTEND, "http://localhost:3001", "http://127.0.0.1:3000")
OTHER_ORIGINS = (
    "http://evil.example",
    "https://localhost:3000",
    "http://localhost",
    "http://localhost:30000",
    "http://localhost:3000.evil.example",
    "http://evil.example:3000",
    "http://LOCALHOST:3000",
    "http://127.0.0.1:3002",
    "http://[::1]:3000",
    "http://localhost:3000/",
    "http://localhost:3000, http://evil.example",
    "localhost:3000",
    "null",
    "*",
    "",
)
EXPOSED = {
    *("etag", "link", "location", "x-total-count", "retry-after", "x-request-id"),
    *("www-authenticate", "allow", "idempotency-replayed", "ratelimit", "ratelimit-policy"),
}
ALLOWED = {
    *("authorization", "content-type", "if-match", "if-none-match", "idempotency-key"),
    *("x-requested-with", "traceparent"),
}
TASK = f"/api/tasks/{UNKNOWN_TASK_ID}"


def values(response: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in response.headers[header].split(",")}


def assert_readable(response: httpx.Response, origin: str = FRONTEND) -> None:
    """Fail unless a page of this origin can read the response and its headers."""
    assert response.headers.get_list("access-control-allow-origin") == [origin]
    assert response.headers.get_list("access-control-allow-credentials") == ["true"]
    assert values(response, "access-control-expose-headers") == EXPOSED
    assert "origin" in values(response, "vary")


def preflight(client: httpx.Client, url: str, origin: str, method: str) -> httpx.Response:
    """Send the preflight request that a browser sends before a cross-origin request."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(ALLOWED),
    }
    return client.options(url, headers=headers)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=name)
def test_the_frontend_may_call_every_operation(
    service: Service, operation: Operation, origin: str
) -> None:
    urls = [path(operation)]
    if operation.secured:
        urls.append(path(operation, user="alice"))
    with AnonymousClient(service.url) as client:
        for url, slash in product(urls, ("", "/")):
            response = preflight(client, url + slash, origin, operation.method)
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["access-control-allow-credentials"] == "true"
            assert operation.method.lower() in values(response, "access-control-allow-methods")
            assert values(response, "access-control-allow-headers") >= ALLOWED
            assert int(response.headers["access-control-max-age"]) > 0
            assert "origin" in values(response, "vary")


def test_the_exposed_headers_are_those_of_the_contract() -> None:
    assert {header.lower() for header in EXPOSED_HEADERS} == EXPOSED


RESPONSES: dict[int, tuple[str, str, dict[str, Any]]] = {
    200: ("GET", "/api/tasks", {}),
    201: ("POST", "/api/tasks", {"json": {"title": "x"}}),
    304: ("GET", "/api/tasks", {"headers": {"If-None-Match": "*"}}),
    400: ("GET", "/api/tasks?limit=0", {}),
    401: ("GET", "/api/tasks", {"headers": {"Authorization": "Bearer x"}}),
    403: ("GET", "/api/bob/tasks", {}),
    404: ("GET", TASK, {}),
    405: ("PUT", "/api/tasks", {}),
    410: ("GET", "/api/tasks/changes?since=r1", {}),
    413: ("POST", "/api/tasks", {"content": b" " * 65_537}),
    415: ("POST", "/api/tasks", {"content": b"{}"}),
}


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("status", RESPONSES)
def test_the_frontend_may_read_every_response(
    alice: AuthedClient, status: int, origin: str
) -> None:
    method, url, options = RESPONSES[status]
    alice.headers["Origin"] = origin
    response = alice.request(method, url, **options)
    assert response.status_code == status
    assert_readable(response, origin)


def test_the_frontend_may_read_changes_and_refused_changes(alice: AuthedClient) -> None:
    task = f"/api/tasks/{alice.create_task()['id']}"
    alice.headers["Origin"] = FRONTEND
    stale = alice.put(task, json={"title": "y"}, headers={"If-Match": '"0"'})
    for status, response in (
        (412, stale),
        (200, alice.put(task, json={"title": "y"})),
        (200, alice.patch(f"{task}/complete")),
        (200, alice.head(task)),
        (204, alice.delete(task)),
    ):
        assert response.status_code == status
        assert_readable(response)


@pytest.mark.parametrize("url", ["/health", "/ready", "/openapi.json", "/nope", "/docs/nope"])
def test_the_frontend_may_read_what_needs_no_token(service: Service, url: str) -> None:
    with AnonymousClient(service.url) as client:
        assert_readable(client.get(url, headers={"Origin": FRONTEND}))


@pytest.mark.anyio
@pytest.mark.parametrize("operation", SECURED, ids=name)
async def test_the_frontend_may_read_server_errors(
    monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    async with InProcessClient() as client:
        client.headers["Origin"] = FRONTEND
        request = {**query(operation), **body(operation)}
        response = await client.request(operation.method, path(operation), **request)
        assert response.status_code == 503
        assert_readable(response)
        function = operation.operation_id.replace("patch_task", "update_task")
        modules = {"list_changes": changes, "list_tasks": lists}
        module = modules.get(function, tasks)
        monkeypatch.setattr(module, function, None)
        response = await client.request(operation.method, path(operation), **request)
        assert response.status_code == 500
        assert_readable(response)


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_a_page_of_another_origin_may_read_nothing(alice: AuthedClient, origin: str) -> None:
    alice.headers["Origin"] = origin
    for method, url, options in RESPONSES.values():
        response = alice.request(method, url, **options)
        assert "access-control-allow-origin" not in response.headers
        assert "origin" in values(response, "vary")


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_a_page_of_another_origin_may_call_nothing(service: Service, origin: str) -> None:
    with AnonymousClient(service.url) as client:
        for operation in SECURED:
            response = preflight(client, path(operation), origin, operation.method)
            assert "access-control-allow-origin" not in response.headers
            assert "origin" in values(response, "vary")
            assert validation_errors(response) == {"Origin": "is not allowed"}


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "*"])
def test_a_preflight_for_an_unknown_method_is_refused(service: Service, method: str) -> None:
    with AnonymousClient(service.url) as client:
        response = preflight(client, "/api/tasks", FRONTEND, method)
    assert validation_errors(response) == {"Access-Control-Request-Method": "is not allowed"}
    assert_readable(response)


@pytest.mark.parametrize("names", ["X-Colour", "authorization, x-colour", "*", "cookie"])
def test_a_preflight_for_an_unknown_header_is_refused(service: Service, names: str) -> None:
    headers = {
        "Origin": FRONTEND,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": names,
    }
    with AnonymousClient(service.url) as client:
        response = client.options("/api/tasks", headers=headers)
    assert validation_errors(response) == {"Access-Control-Request-Headers": "is not allowed"}
    assert [error["code"] for error in response.json()["errors"]] == ["not_allowed"]


def test_options_without_preflight_headers_is_not_allowed(alice: AuthedClient) -> None:
    alice.headers["Origin"] = FRONTEND
    response = alice.options("/api/tasks")
    assert response.status_code == 405
    assert_readable(response)


def test_a_request_without_an_origin_gets_no_cors_headers(alice: AuthedClient) -> None:
    for response in (alice.get("/api/tasks"), request_operation(alice, SECURED[-1])):
        assert not any(header.startswith("access-control") for header in response.headers)
