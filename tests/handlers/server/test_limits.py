"""Clients that are slow, send too much, or are too many are limited, and told why."""

import re
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from handlers.server.limits import raise_file_limit
from harness import raw_http
from harness.clients import AuthedClient, new_user_id, token
from harness.postgres import wait_until
from harness.problems import check_wording
from harness.service import SECRET, Service

TIMEOUT = 0.5
"""The time limits of the service, in seconds."""

HEALTH = b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST /api/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
OPEN_FILES = 1024

Run = Callable[..., Service]


@pytest.fixture(scope="module")
def run(data_dir: Path, service: Service) -> Iterator[Run]:  # noqa: ARG001 (it migrates)
    """Return a function that runs services with time limits that suit tests."""
    services: list[Service] = []

    def run(prefix: tuple[str, ...] = (), **settings: str) -> Service:
        names = ("HEAD_TIMEOUT", "BODY_TIMEOUT", "WRITE_TIMEOUT", "KEEP_ALIVE_TIMEOUT")
        environment = {
            "DATA_DIR": str(data_dir),
            "BETTER_AUTH_SECRET": SECRET,
            **dict.fromkeys(names, str(TIMEOUT)),
            **settings,
        }
        log = data_dir / f"limits {len(services)}.log"
        services.append(Service(environment, log, prefix=prefix))
        return services[-1].wait_until_healthy()

    yield run
    for each in services:
        each.stop()


@pytest.fixture(scope="module")
def limited(run: Run) -> Service:
    """Run a service with short time limits."""
    return run()


def authorized(*headers: bytes) -> bytes:
    """Return the head of a POST with a valid token and these further headers."""
    authorization = f"Authorization: Bearer {token(new_user_id())}".encode()
    return POST + b"\r\n".join([authorization, *headers, b"", b""])


def problem_type(response: httpx.Response) -> str:
    """Return the type of a problem after which the connection closes."""
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == response.json()["request_id"]
    check_wording(response.json())
    return str(response.json()["type"])


def assert_closed(connection: socket.socket) -> None:
    """Fail unless the service closes the connection, and has sent nothing more."""
    assert connection.recv(1) == b""


def read_until_closed(connection: socket.socket) -> bytes:
    """Read until the service closes the connection, which is when it has been idle."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def received(connection: socket.socket, within: float) -> bool:
    """Return whether there is something to read, the end included, after up to `within` s."""
    return bool(select.select([connection], [], [], within)[0])


# Slow clients


def test_a_connection_that_sends_nothing_is_closed(limited: Service) -> None:
    started = time.monotonic()
    with raw_http.connect(limited) as connection:
        assert_closed(connection)
    assert time.monotonic() - started >= TIMEOUT


@pytest.mark.parametrize(
    "part",
    [b"G", HEALTH[:-2], POST, authorized(b"Content-Length: 9") + b'{"ti'],
    ids=["a byte", "a head", "headers", "a body"],
)
def test_a_request_that_does_not_arrive_in_time_is_408(limited: Service, part: bytes) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(part)
        response = raw_http.read_response(connection)
        assert response.status_code == 408
        assert problem_type(response) == "/problems/request-timeout"
        connection.shutdown(socket.SHUT_WR)
        assert_closed(connection)


def test_a_head_that_arrives_byte_by_byte_does_not_extend_its_time(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: ")
        started = time.monotonic()
        while not received(connection, within=TIMEOUT / 10):
            assert time.monotonic() - started < 10 * TIMEOUT, "it still receives"
            connection.sendall(b"x")
        assert raw_http.read_response(connection).status_code == 408


def test_an_idle_connection_is_closed_and_one_in_use_is_kept(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        for _ in range(4):
            connection.sendall(HEALTH)
            assert raw_http.read_response(connection).status_code == 200
            time.sleep(TIMEOUT / 2)
        assert_closed(connection)


def test_blank_lines_do_not_keep_an_idle_connection(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(HEALTH)
        assert raw_http.read_response(connection).status_code == 200
        started = time.monotonic()
        while not received(connection, within=TIMEOUT / 10):
            assert time.monotonic() - started < 10 * TIMEOUT, "it is still open"
            connection.sendall(b"\r\n")


def test_the_body_of_a_request_that_was_rejected_has_a_time_limit_too(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n")
        assert raw_http.read_response(connection).status_code == 401
        assert_closed(connection)


def test_a_client_that_does_not_read_its_responses_is_disconnected(limited: Service) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", limited.port))
        connection.sendall(b"GET /openapi.yaml HTTP/1.1\r\nHost: test\r\n\r\n" * 100)
        port = connection.getsockname()[1]
        wait_until(lambda: port not in client_ports(limited))


def client_ports(service: Service) -> set[int]:
    """Return the ports of the clients that are connected to a service."""
    connections = psutil.Process(service.process.pid).net_connections("tcp")
    return {each.raddr.port for each in connections if each.status == psutil.CONN_ESTABLISHED}


# Large requests


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 99999999999", b"Content-Length: 65537\r\nExpect: 100-continue"],
    ids=["a length", "Expect: 100-continue"],
)
def test_a_body_announced_as_too_large_is_413_before_it_is_sent(
    limited: Service, framing: bytes
) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(authorized(framing))
        response = raw_http.read_response(connection)
        assert response.status_code == 413
        assert problem_type(response) == "/problems/content-too-large"
        connection.shutdown(socket.SHUT_WR)
        assert_closed(connection)


def test_a_client_that_is_still_sending_reads_the_413(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(authorized(b"Content-Length: 4000000"))
        connection.sendall(b"x" * 4_000_000)
        assert raw_http.read_response(connection).status_code == 413


def test_a_chunked_body_is_413_as_soon_as_it_is_too_large(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(authorized(b"Transfer-Encoding: chunked"))
        connection.sendall(b"10001\r\n" + b"x" * 65_537)
        response = raw_http.read_response(connection)
        assert response.status_code == 413
        assert problem_type(response) == "/problems/content-too-large"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nX: " + b"x" * 70_000,
        b"GET /health HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X: x\r\n" * 101 + b"\r\n",
        authorized(b"Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n" + b"X: x\r\n" * 102,
        authorized(b"Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\nX: " + b"x" * 80_000,
    ],
    ids=[
        "an unfinished header",
        "a long header",
        "many headers",
        "many trailers",
        "a long trailer",
    ],
)
def test_headers_that_are_too_large_or_too_many_are_431(limited: Service, head: bytes) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(head)
        response = raw_http.read_response(connection)
        assert response.status_code == 431
        assert problem_type(response) == "/problems/request-header-fields-too-large"


@pytest.mark.parametrize(("target", "header", "status"), [(40, 30, 414), (30, 40, 431)])
def test_a_head_that_is_mostly_its_target_is_414(
    target: int, header: int, status: int, limited: Service
) -> None:
    head = b"GET /%b HTTP/1.1\r\nX: %b\r\n\r\n" % (1000 * target * b"x", 1000 * header * b"x")
    with raw_http.connect(limited) as connection:
        connection.sendall(head)
        assert raw_http.read_response(connection).status_code == status


def test_a_target_that_the_parser_refuses_is_414_whatever_the_limit(run: Run) -> None:
    with raw_http.connect(run(MAX_HEAD_BYTES="1000000")) as connection:
        connection.sendall(b"GET /" + 70_000 * b"x" + b" HTTP/1.1\r\n\r\n")
        response = raw_http.read_response(connection)
        assert response.status_code == 414
        assert problem_type(response) == "/problems/uri-too-long"


def test_a_trailer_is_not_taken_for_a_header(limited: Service) -> None:
    trailer = f"Authorization: Bearer {token(new_user_id())}".encode()
    with raw_http.connect(limited) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b'd\r\n{"title":"x"}\r\n0\r\n' + trailer + b"\r\n\r\n")
        assert raw_http.read_response(connection).status_code == 401


def test_a_hundred_headers_are_accepted(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(HEALTH[:-2] + b"X: x\r\n" * 99 + b"\r\n")
        assert raw_http.read_response(connection).status_code == 200


def test_pipelined_requests_are_all_answered_in_order(limited: Service) -> None:
    with raw_http.connect(limited) as connection:
        connection.sendall(b"".join(HEALTH.replace(b"health", b"%d" % n) for n in range(1000)))
        responses = read_until_closed(connection)
    assert re.findall(rb'"instance":"/([0-9]+)"', responses) == [b"%d" % n for n in range(1000)]


def test_pipelined_requests_with_bodies_are_all_answered_in_order(limited: Service) -> None:
    bodies = [b'{"title":"%d"}' % n for n in range(300)]
    head = authorized(b"Content-Length: %d")
    with raw_http.connect(limited) as connection:
        connection.sendall(b"".join(head % len(body) + body for body in bodies))
        responses = read_until_closed(connection)
    assert responses.count(b"HTTP/1.1 201 ") == 300
    assert re.findall(rb'"title":"([0-9]+)"', responses) == [b"%d" % n for n in range(300)]


# Origins

FRONTEND = b"Origin: http://localhost:3000\r\n"
EVIL = b"Origin: http://evil.example\r\n"
REJECTED = {
    "a malformed header": (400, b"GET / HTTP/1.1\r\n%bX: x\r\n\0: x\r\n\r\n"),
    "a slow head": (408, b"GET / HTTP/1.1\r\n%bX: "),
    "a slow body": (408, authorized(b"Content-Length: 9").replace(b"Host", b"%bHost")),
    "a long target": (414, b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n%bX: " + b"x" * 6_000),
    "many headers": (431, b"GET / HTTP/1.1\r\n%b" + b"X: x\r\n" * 101 + b"\r\n"),
    "a long header": (431, b"GET / HTTP/1.1\r\n%bX: " + b"x" * 70_000),
}


def send_until_rejected(service: Service, *requests: bytes) -> httpx.Response:
    """Send requests on one connection; return the last response, which is an error."""
    with raw_http.connect(service) as connection:
        for request in requests:
            connection.sendall(request)
            response = raw_http.read_response(connection)
    problem_type(response)
    return response


@pytest.mark.parametrize(("status", "request_with"), REJECTED.values(), ids=REJECTED)
def test_the_frontend_may_read_why_its_request_is_rejected(
    status: int, request_with: bytes, limited: Service
) -> None:
    for headers in (FRONTEND, EVIL, b""):
        response = send_until_rejected(limited, request_with.replace(b"%b", headers))
        assert response.status_code == status
        assert response.headers["vary"] == "Origin"
        allowed = "http://localhost:3000" if headers == FRONTEND else None
        assert response.headers.get("access-control-allow-origin") == allowed
        assert ("access-control-expose-headers" in response.headers) == bool(headers)


@pytest.mark.parametrize(
    ("status", "request_without"),
    [
        (400, b"\0\r\n\r\n"),
        (408, b"G"),
        (414, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + FRONTEND + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n" + FRONTEND + b"\r\n"),
    ],
)
def test_the_origin_of_an_earlier_request_is_not_that_of_a_later_one(
    status: int, request_without: bytes, limited: Service
) -> None:
    earlier = HEALTH.replace(b"Host: test\r\n", FRONTEND + b"Host: test\r\n")
    response = send_until_rejected(limited, earlier, request_without)
    assert response.status_code == status
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers


# Many clients


def test_ordinary_clients_are_served_among_thousands_of_slow_ones(run: Run) -> None:
    limit = f'ulimit -n {OPEN_FILES}; exec "$@"'
    service = run(prefix=("sh", "-c", limit, "sh"), HEAD_TIMEOUT="60", KEEP_ALIVE_TIMEOUT="5")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = min(5000, most - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(6000, OPEN_FILES), most))
    with ExitStack() as stack, AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task()
        times = []
        for number in range(clients):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            slow.sendall(b"GET /api/tasks HTTP/1.1\r\n")
            if number % 20 == 0:
                started = time.monotonic()
                assert len(alice.list_tasks()) == 1
                times.append(time.monotonic() - started)
        with AuthedClient(service.url, alice.id) as newcomer:
            assert len(newcomer.list_tasks()) == 1
    assert sorted(times)[len(times) * 99 // 100] < 0.1
    assert "as many as allowed" in service.log.read_text()


def test_files_are_reserved_for_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    assert raise_file_limit(pool_size=0) - raise_file_limit(pool_size=120) == 120
    assert raise_file_limit(pool_size=2000) == 1
