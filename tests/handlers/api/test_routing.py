"""Paths and methods: unknown ones get 404 or 405, and no request is ever redirected."""

import re
import time
from itertools import product

import httpx
import pytest

from harness.anonymous import AnonymousClient
from harness.clients import AuthedClient
from harness.contract import CONTRACT, check_problem
from harness.operations import UNKNOWN_TASK_ID
from harness.problems import validation_errors
from harness.raw_http import connect, read_response, send
from harness.service import Service

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OTHER_METHODS = (
    "CONNECT",
    "PROPFIND",
    "MKCOL",
    "QUERY",
    "M-SEARCH",
    "LINK",
    "PURGE",
    "SOURCE",
)
PAGES = (
    "/",
    "/docs",
    "/docs/start.js",
    "/openapi.yaml",
    "/openapi.json",
    "/problems",
    "/problems/not-found",
    "/reference",
)
TASK = f"/api/tasks/{UNKNOWN_TASK_ID}"

# Every path of the contract, with its parameters filled in, and the methods it supports.
METHODS_BY_PATH = {
    path.replace("{task_id}", UNKNOWN_TASK_ID): {
        method.upper() for method in item if method != "parameters"
    }
    for path, item in CONTRACT.document["paths"].items()
}


def allowed(methods: set[str]) -> set[str]:
    return methods | ({"HEAD"} if "GET" in methods else set())


def allow_header(response: httpx.Response) -> set[str]:
    """Return the methods in `Allow`; fail if one is repeated."""
    names: list[str] = response.headers["allow"].split(", ")
    assert len(names) == len(set(names))
    return set(names)


def send_target(
    service: Service, target: str | bytes, *headers: str, method: str = "GET"
) -> httpx.Response:
    """Send a request for a raw target; an error must be a problem document."""
    line = method.encode() + b" " + (target.encode() if isinstance(target, str) else target)
    response = send(service, line + b" HTTP/1.1", *headers)
    if response.is_error and method != "HEAD":
        check_problem(response)
    return response


# Methods


@pytest.mark.parametrize("method", [*METHODS, *OTHER_METHODS])
@pytest.mark.parametrize("path", METHODS_BY_PATH)
def test_an_unsupported_method_gets_405_and_the_allowed_methods(
    service: Service, alice: AuthedClient, path: str, method: str
) -> None:
    supported = allowed(METHODS_BY_PATH[path])
    forms = {path, f"{path}/", f"{path}//"}
    if path.startswith("/api/"):
        forms |= {form.replace("/api", f"/api/{alice.id}") for form in forms}
    authorization = f"Authorization: {alice.headers['authorization']}"
    for form, header in product(sorted(forms), (authorization, "Accept: */*")):
        if method in supported:
            continue
        response = send_target(service, form, header, method=method)
        assert response.status_code == 405
        assert allow_header(response) == supported


@pytest.mark.parametrize("method", [*METHODS[2:], *OTHER_METHODS])
def test_pages_support_only_get_and_head(service: Service, method: str) -> None:
    for page in PAGES:
        response = send_target(service, page, method=method)
        assert (response.status_code, allow_header(response)) == (405, {"GET", "HEAD"})


def test_trace_echoes_nothing(service: Service) -> None:
    response = send_target(service, "/api/tasks", "X-Secret: do not echo", method="TRACE")
    assert "echo" not in response.text


# Paths


UNKNOWN = {
    "unrelated": "/nope",
    "the API prefix": "/api",
    "the API prefix with a slash": "/api/",
    "unknown below the API prefix": "/api/x/y",
    "a user": "/api/alice",
    "upper case": "/API/TASKS",
    "one upper-case letter": "/Health",
    "an unknown prefix": "/v1/api/tasks",
    "an unknown suffix": f"{TASK}/complete/now",
    "tasks of tasks": f"/api/tasks/tasks/{UNKNOWN_TASK_ID}",
    "two leading slashes": "//api/tasks",
    "two slashes everywhere": "//api//tasks",
    "two slashes before an id": f"/api/tasks//{UNKNOWN_TASK_ID}",
    "two slashes after an id": f"{TASK}//complete",
    "a trailing line break": "/api/tasks%0A",
    "an encoded slash after tasks": "/api/tasks%2F",
    "a trailing NUL": "/health%00",
    "a trailing space": "/health%20",
    "a path parameter": "/api/tasks;v=1",
    "a dot": "/./health",
    "two dots": "/api/../health",
    "two dots after tasks": "/api/tasks/../../health",
    "dots out of the pages": "/docs/../../../etc/passwd",
    "dots out of the pages, encoded": "/docs/%2e%2e%2f%2e%2e%2fetc/passwd",
    "a file that is not a page": "/docs/index.html",
    "an unknown problem type": "/problems/teapot",
    "another host": "//evil.example/",
    "another host with a path": "//evil.example/api/tasks",
    "another host with backslashes": "/\\\\evil.example",
    "another host, encoded": "/%2F%2Fevil.example/%2e%2e",
    "a user id with a slash, encoded": "/api/alice%2Ftasks",
    "a stray percent sign": "/%",
    "two stray percent signs": "/%%zz",
    "not UTF-8": "/%ff%fe",
    "an emoji": "/%F0%9F%98%80",
    "HTML": "/<script>alert(1)</script>",
    "quotes": "/'\"`{}|^",
    "a star": "*",
    "10,000 characters": "/" + "x" * 10_000,
    "5,000 segments": "/x" * 5_000,
    "60,000 slashes": "/api" + "/" * 60_000 + "x",
    "10,000 characters, encoded": "/" + "%F0%9F%98%80" * 2_500,
}


@pytest.mark.parametrize("how", UNKNOWN)
def test_an_unknown_path_is_not_found(service: Service, how: str) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"):
        response = send_target(service, UNKNOWN[how], method=method)
        assert response.status_code == 404
        assert "location" not in response.headers
        if method != "HEAD":
            problem = response.json()
            assert problem["detail"] == "There is nothing at this path."
            assert re.fullmatch(r"[!#-;=?-\[\]_a-z~]*", problem["instance"])
            assert len(problem["instance"]) <= 1_000


def test_an_unknown_path_is_not_found_with_a_token_either(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    for client in (alice, bob):
        assert client.get("/api/nope").status_code == 404


EQUIVALENT = {
    "a slash": "/api/tasks/",
    "slashes": "/api/tasks///",
    "an encoded letter": "/%61pi/t%61sks",
    "a question mark": "/api/tasks?",
    "an absolute address": "http://evil.example/api/tasks",
    "an absolute address with a user": "http://alice@evil.example:81/api/tasks/",
}


@pytest.mark.parametrize("target", EQUIVALENT.values(), ids=EQUIVALENT)
def test_equivalent_paths_are_served_without_a_redirect(
    service: Service, alice: AuthedClient, target: str
) -> None:
    task = alice.create_task()
    response = send_target(service, target, f"Authorization: {alice.headers['authorization']}")
    assert (response.status_code, response.json()) == (200, [task])


@pytest.mark.parametrize("path", ["/api/tasks/", "/health/", "/docs/", "/", "/nope/"])
def test_no_response_repeats_the_requested_host(service: Service, path: str) -> None:
    evil = ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example")
    for header in evil:
        response = send_target(service, path, header)
        assert not response.is_redirect
        assert "evil" not in response.text
        assert "evil" not in str(response.headers)


@pytest.mark.parametrize(
    "segment", ["{id}%0A", "{id}%0D%0A", "%0A{id}", "%0A", "{id}%2F", "%2F{id}", "a%2Fb", "%2F"]
)
@pytest.mark.parametrize("form", ["/api/tasks", "/api/{user}/tasks"])
@pytest.mark.parametrize("suffix", ["", "/"])
def test_whatever_is_in_one_segment_is_an_id(
    service: Service, alice: AuthedClient, form: str, segment: str, suffix: str
) -> None:
    task = alice.create_task()
    target = f"{form.format(user=alice.id)}/{segment.format(id=task['id'])}{suffix}"
    authorization = f"Authorization: {alice.headers['authorization']}"
    response = send_target(service, target, authorization)
    assert validation_errors(response).keys() == {"task_id"}
    assert response.json()["instance"] == target


def test_an_instance_is_the_path_as_it_was_sent(service: Service) -> None:
    for path in (TASK, f"{TASK}/", "/api/b%C3%B6b/tasks", "/a%2Fb/%20c"):
        response = send_target(service, f"{path}?secret=1", method="GET")
        assert response.json()["instance"] == path


# Malformed HTTP


MALFORMED: dict[str, tuple[bytes, ...]] = {
    "no words": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
    "one word": (b"GET",),
    "a lower-case method": (b"get /health HTTP/1.1",),
    "an unknown method": (b"FOO /health HTTP/1.1",),
    "no path": (b"GET  HTTP/1.1",),
    "a space in the path": (b"GET /hea lth HTTP/1.1",),
    "a space in the query": (b"GET /api/tasks?limit= 5 HTTP/1.1",),
    "UTF-8 in the path": ("GET /tâches HTTP/1.1".encode(),),
    "UTF-8 in the query": ("GET /api/tasks?sort=größe HTTP/1.1".encode(),),
    "a NUL in the path": (b"GET /hea\0lth HTTP/1.1",),
    "another protocol": (b"GET /health SIP/2.0",),
    "HTTP/2": (b"PRI * HTTP/2.0", b"", b"SM"),
    "a header without a colon": (b"GET /health HTTP/1.1", b"nonsense"),
    "a space in the name of a header": (b"GET /health HTTP/1.1", b"X Y: 1"),
    "a NUL in a header": (b"GET /health HTTP/1.1", b"X: a\0b"),
    "two lengths": (b"POST /api/tasks HTTP/1.1", b"Content-Length: 1", b"Content-Length: 2"),
    "a length below 0": (b"POST /api/tasks HTTP/1.1", b"Content-Length: -1"),
    "a length with a plus": (b"POST /api/tasks HTTP/1.1", b"Content-Length: +1"),
    "a length past 64 bits": (b"POST /api/tasks HTTP/1.1", b"Content-Length: " + b"9" * 30),
    "a length and chunks": (
        b"POST /api/tasks HTTP/1.1",
        b"Content-Length: 1",
        b"Transfer-Encoding: chunked",
    ),
    "an unknown transfer coding": (
        b"POST /api/tasks HTTP/1.1",
        b"Transfer-Encoding: gzip",
    ),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_a_malformed_http_request_gets_a_problem(service: Service, how: str) -> None:
    response = send(service, *MALFORMED[how])
    check_problem(response)
    assert response.status_code == 400
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"] in service.log.read_text()
    assert response.json()["errors"][0]["parameter"] == "request"


def test_bad_chunks_get_a_problem_and_store_nothing(
    service: Service, alice: AuthedClient
) -> None:
    head = (
        "POST /api/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: {alice.headers['authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for chunk in (
        b"xyz\r\n{}",
        b"-1\r\n",
        b"ffffffffffffffffff\r\n",
        b'e\r\n{"title": "x"}0\r\n',
    ):
        with connect(service) as connection:
            connection.sendall(head.encode() + chunk + b"\r\n0\r\n\r\n")
            response = read_response(connection)
        check_problem(response)
        assert response.status_code == 400
    assert alice.list_tasks() == []


def test_http_1_0_is_supported(service: Service) -> None:
    assert send(service, "GET /health HTTP/1.0").json() == {"status": "ok"}


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.3"])
def test_protocol_upgrades_are_ignored(
    service: Service, alice: AuthedClient, protocol: str
) -> None:
    response = send_target(
        service,
        "/api/tasks",
        f"Authorization: {alice.headers['authorization']}",
        f"Upgrade: {protocol}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Connection: Upgrade",
    )
    assert (response.status_code, response.json()) == (200, [])
    assert "pgrade" not in service.log.read_text()


OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n"
BODY = '{"title": "x"}'
LONG = BODY + " " * 10_000
REQUEST = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n"
BODIES = {
    "with a length": (201, "Content-Length: 14\r\n\r\n", BODY),
    "in chunks": (201, "Transfer-Encoding: chunked\r\n\r\n", f"e\r\n{BODY}\r\n0\r\n\r\n"),
    "that is long": (201, f"Content-Length: {len(LONG)}\r\n\r\n", LONG),
    "that looks like a request": (400, f"Content-Length: {len(REQUEST)}\r\n\r\n", REQUEST),
}  # fmt: skip


@pytest.mark.parametrize("pause", [0, 0.1])
@pytest.mark.parametrize("form", BODIES)
def test_a_request_that_offers_to_upgrade_keeps_its_body(
    service: Service, alice: AuthedClient, form: str, pause: float
) -> None:
    """As Java's HttpClient and `curl --http2` send it; another request follows."""
    status, framing, body = BODIES[form]
    head = (
        f"POST /api/tasks HTTP/1.1\r\nHost: test\r\n{OFFER}Content-Type: application/json\r\n"
        f"Authorization: {alice.headers['authorization']}\r\n{framing}"
    )
    parts = [head, body + REQUEST] if pause else [head + body + REQUEST]
    received = b""
    with connect(service) as connection:
        for part in parts:
            connection.sendall(part.encode())
            time.sleep(pause)
        connection.settimeout(10)
        while b'{"status":"ok"}' not in received and (more := connection.recv(10_000)):
            received += more
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.count(b"HTTP/1.1 ") == 2
    assert len(alice.list_tasks()) == (status == 201)


def test_expect_100_continue_is_supported(service: Service, alice: AuthedClient) -> None:
    head = (
        "POST /api/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: {alice.headers['authorization']}\r\n"
        "Content-Length: 14\r\nExpect: 100-continue\r\n\r\n"
    )
    with connect(service) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"title": "x"}')
        assert read_response(connection).status_code == 201


def test_requests_may_be_pipelined(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n" * 3)
        text = b""
        while text.count(b'{"status":"ok"}') < 3:
            text += connection.recv(10_000)
        assert text.count(b"HTTP/1.1 200 OK") == 3


def test_not_found_and_method_not_allowed_require_no_token(service: Service) -> None:
    with AnonymousClient(service.url) as anonymous:
        assert anonymous.get("/api/nope").status_code == 404
        assert anonymous.put("/api/tasks").status_code == 405
