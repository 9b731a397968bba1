"""Paths and methods: what there is not is said so, and nobody is ever sent elsewhere."""

import re
from itertools import product

import httpx
import pytest

from harness.anonymous import AnonymousClient
from harness.clients import AuthedClient
from harness.contract import CONTRACT, check_problem
from harness.operations import UNKNOWN_TASK_ID
from harness.raw_http import connect, read_response, send
from harness.service import Service

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
STRANGE_METHODS = (
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

# Every path of the contract as it can be asked for, and the methods that it knows.
KNOWN = {
    path.replace("{task_id}", UNKNOWN_TASK_ID): {
        method.upper() for method in item if method != "parameters"
    }
    for path, item in CONTRACT.document["paths"].items()
}


def allowed(methods: set[str]) -> set[str]:
    return methods | ({"HEAD"} if "GET" in methods else set())


def named(answer: httpx.Response) -> set[str]:
    """Return what `Allow` names, each only once."""
    names: list[str] = answer.headers["allow"].split(", ")
    assert len(names) == len(set(names))
    return set(names)


def ask(
    service: Service, target: str | bytes, *headers: str, method: str = "GET"
) -> httpx.Response:
    """Ask for a target as it is written; a refusal must be a problem."""
    line = method.encode() + b" " + (target.encode() if isinstance(target, str) else target)
    answer = send(service, line + b" HTTP/1.1", *headers)
    if answer.is_error and method != "HEAD":
        check_problem(answer)
    return answer


# Methods


@pytest.mark.parametrize("method", [*METHODS, *STRANGE_METHODS])
@pytest.mark.parametrize("path", KNOWN)
def test_a_method_that_a_path_does_not_know_is_refused_with_those_that_it_does(
    service: Service, alice: AuthedClient, path: str, method: str
) -> None:
    known = allowed(KNOWN[path])
    forms = {path, f"{path}/", f"{path}//"}
    if path.startswith("/api/"):
        forms |= {form.replace("/api", f"/api/{alice.id}") for form in forms}
    authorization = f"Authorization: {alice.headers['authorization']}"
    for form, header in product(sorted(forms), (authorization, "Accept: */*")):
        if method in known:
            continue
        answer = ask(service, form, header, method=method)
        assert answer.status_code == 405
        assert named(answer) == known


@pytest.mark.parametrize("method", [*METHODS[2:], *STRANGE_METHODS])
def test_pages_can_only_be_read(service: Service, method: str) -> None:
    for page in PAGES:
        answer = ask(service, page, method=method)
        assert (answer.status_code, named(answer)) == (405, {"GET", "HEAD"})


def test_trace_echoes_nothing(service: Service) -> None:
    answer = ask(service, "/api/tasks", "X-Secret: do not echo", method="TRACE")
    assert "echo" not in answer.text


# Paths


UNKNOWN = {
    "nothing like it": "/nope",
    "the API": "/api",
    "the API with a slash": "/api/",
    "nothing of the API's": "/api/x/y",
    "a user": "/api/alice",
    "capitals": "/API/TASKS",
    "a capital": "/Health",
    "something before": "/v1/api/tasks",
    "something behind": f"{TASK}/complete/now",
    "tasks of tasks": f"/api/tasks/tasks/{UNKNOWN_TASK_ID}",
    "two slashes before": "//api/tasks",
    "two slashes everywhere": "//api//tasks",
    "two slashes before an id": f"/api/tasks//{UNKNOWN_TASK_ID}",
    "two slashes behind an id": f"{TASK}//complete",
    "a line break behind": "/api/tasks%0A",
    "a line break behind an id": f"{TASK}%0A",
    "a line break for an id": "/api/tasks/%0A",
    "a NUL behind": "/health%00",
    "a space behind": "/health%20",
    "a parameter behind": "/api/tasks;v=1",
    "a dot": "/./health",
    "two dots": "/api/../health",
    "two dots after tasks": "/api/tasks/../../health",
    "dots out of the pages": "/docs/../../../etc/passwd",
    "dots out of the pages, encoded": "/docs/%2e%2e%2f%2e%2e%2fetc/passwd",
    "a file that is no page": "/docs/index.html",
    "a problem that there is not": "/problems/teapot",
    "another host": "//evil.example/",
    "another host with a path": "//evil.example/api/tasks",
    "another host with backslashes": "/\\\\evil.example",
    "another host, encoded": "/%2F%2Fevil.example/%2e%2e",
    "a user id with a slash, encoded": "/api/alice%2Ftasks",
    "a stray percent sign": "/%",
    "two of them": "/%%zz",
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
def test_a_path_that_there_is_not_is_not_found(service: Service, how: str) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"):
        answer = ask(service, UNKNOWN[how], method=method)
        assert answer.status_code == 404
        assert "location" not in answer.headers
        if method != "HEAD":
            problem = answer.json()
            assert problem["detail"] == "There is nothing at this path."
            assert re.fullmatch(r"[!#-;=?-\[\]_a-z~]*", problem["instance"])
            assert len(problem["instance"]) <= 1_000


def test_a_token_makes_no_path(alice: AuthedClient, bob: AuthedClient) -> None:
    for client in (alice, bob):
        assert client.get("/api/nope").status_code == 404


SAME = {
    "a slash": "/api/tasks/",
    "slashes": "/api/tasks///",
    "an encoded slash": "/api/tasks%2F",
    "an encoded letter": "/%61pi/t%61sks",
    "a question mark": "/api/tasks?",
    "an absolute address": "http://evil.example/api/tasks",
    "an absolute address with a user": "http://alice@evil.example:81/api/tasks/",
}


@pytest.mark.parametrize("target", SAME.values(), ids=SAME)
def test_other_ways_to_write_a_path_are_answered_where_they_are(
    service: Service, alice: AuthedClient, target: str
) -> None:
    task = alice.create_task()
    answer = ask(service, target, f"Authorization: {alice.headers['authorization']}")
    assert (answer.status_code, answer.json()) == (200, [task])


@pytest.mark.parametrize("path", ["/api/tasks/", "/health/", "/docs/", "/", "/nope/"])
def test_no_answer_repeats_the_host_that_was_asked(service: Service, path: str) -> None:
    evil = ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example")
    for header in evil:
        answer = ask(service, path, header)
        assert not answer.is_redirect
        assert "evil" not in answer.text
        assert "evil" not in str(answer.headers)


def test_an_instance_is_the_path_as_it_was_sent(service: Service) -> None:
    for path in (TASK, f"{TASK}/", "/api/b%C3%B6b/tasks", "/a%2Fb/%20c"):
        answer = ask(service, f"{path}?secret=1", method="GET")
        assert answer.json()["instance"] == path


# Requests that are hardly HTTP


GARBLED: dict[str, tuple[bytes, ...]] = {
    "no words": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
    "one word": (b"GET",),
    "a method in small letters": (b"get /health HTTP/1.1",),
    "a method that nobody knows": (b"FOO /health HTTP/1.1",),
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
    "a transfer coding that nobody knows": (
        b"POST /api/tasks HTTP/1.1",
        b"Transfer-Encoding: gzip",
    ),
}


@pytest.mark.parametrize("how", GARBLED)
def test_what_is_no_http_gets_a_problem_too(service: Service, how: str) -> None:
    answer = send(service, *GARBLED[how])
    check_problem(answer)
    assert answer.status_code == 400
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] in service.log.read_text()
    assert answer.json()["errors"][0]["parameter"] == "request"


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
            answer = read_response(connection)
        check_problem(answer)
        assert answer.status_code == 400
    assert alice.list_tasks() == []


def test_http_1_0_is_answered(service: Service) -> None:
    assert send(service, "GET /health HTTP/1.0").json() == {"status": "ok"}


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.3"])
def test_no_other_protocol_is_spoken(
    service: Service, alice: AuthedClient, protocol: str
) -> None:
    answer = ask(
        service,
        "/api/tasks",
        f"Authorization: {alice.headers['authorization']}",
        f"Upgrade: {protocol}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Connection: Upgrade",
    )
    assert (answer.status_code, answer.json()) == (200, [])


def test_who_waits_to_be_told_to_continue_is_told(
    service: Service, alice: AuthedClient
) -> None:
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


def test_requests_may_follow_each_other_without_waiting(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n" * 3)
        text = b""
        while text.count(b'{"status":"ok"}') < 3:
            text += connection.recv(10_000)
        assert text.count(b"HTTP/1.1 200 OK") == 3


def test_nobody_needs_a_token_to_hear_that_there_is_nothing(service: Service) -> None:
    with AnonymousClient(service.url) as anonymous:
        assert anonymous.get("/api/nope").status_code == 404
        assert anonymous.delete("/api/tasks").status_code == 405
