"""Faults of the database, the clients and the service itself.

In each case: acknowledged writes are stored; requests that cannot be served get a 503 with
Retry-After immediately; no request hangs; and the service recovers by itself.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from harness import clients, raw_http
from harness.clients import AuthedClient, new_user_id
from harness.postgres import (
    TIMEOUT_SECONDS,
    Postgres,
    find_postmasters,
    kill_postmasters,
    wait_until,
)
from harness.service import SECRET, Serve, Service
from harness.write_ledger import WriteLedger

pytest_plugins = ["harness.isolated_services"]

# Longer than the client's timeout, so these limits end no request in a test.
PATIENT = {"DATABASE_QUEUE_TIMEOUT": "3000", "DATABASE_STATEMENT_TIMEOUT": "3000"}

Run = Callable[..., Service]
Send = Callable[[], httpx.Response]


@pytest.fixture
def run(postgres: Postgres, serve: Serve, tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs services; fails if their logs contain a secret."""
    tokens: list[str] = []

    def token(user: str) -> str:
        tokens.append(sign(user))
        return tokens[-1]

    sign = clients.token
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "token", token)
        yield lambda *options, port=None, **settings: serve(
            {"ACCESS_LOG": "true", **postgres.environment, **settings}, *options, port=port
        ).wait_until_healthy()
    passwords = postgres.cluster.passwords().values()
    for log in tmp_path.glob("*.log"):
        words = log.read_text()
        assert "Traceback" not in words
        for secret in (SECRET, *passwords, *tokens):
            assert secret not in words


@pytest.fixture
def submit() -> Iterator[Callable[[Send, int], list[Future[httpx.Response]]]]:
    """Return a function that sends a request many times concurrently."""
    with ThreadPoolExecutor(60) as pool:
        yield lambda send, count: [pool.submit(send) for _ in range(count)]


Submit = Callable[[Send, int], list[Future[httpx.Response]]]


def statuses(requests: list[Future[httpx.Response]]) -> list[int]:
    """Return the sorted statuses of all responses; each 503 must have Retry-After."""
    responses = [request.result(TIMEOUT_SECONDS) for request in requests]
    return sorted(status(response) for response in responses)


def status(response: httpx.Response) -> int:
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
    return response.status_code


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/ready").status_code == 200


# Database outages


def stop(postgres: Postgres) -> None:
    postgres.stop()


def kill(postgres: Postgres) -> None:
    postgres.kill()


@pytest.mark.parametrize("stop_server", [stop, kill])
def test_no_acknowledged_write_is_lost_when_postgresql_ends_under_load(
    postgres: Postgres, run: Run, stop_server: Callable[[Postgres], None]
) -> None:
    service = run(**PATIENT)
    with WriteLedger(service.url) as ledger:
        for _ in range(2):
            stop_server(postgres)
            ledger.wait_for(503)
            postgres.start()
            ledger.wait_for_acknowledgements()
    ledger.verify(service.url)
    assert set(ledger.counts) == {200, 201, 503}


def test_an_embedded_postgresql_that_is_killed_under_load_is_back_within_ten_seconds(
    migrated_data_dir: Path, serve: Serve
) -> None:
    environment = {"DATA_DIR": str(migrated_data_dir), "BETTER_AUTH_SECRET": SECRET}
    service = serve(environment, "--workers", "2").wait_until_healthy()
    home = migrated_data_dir / "postgres"
    with WriteLedger(service.url) as ledger:
        for _ in range(2):
            before = find_postmasters(home)
            killed = time.monotonic()
            kill_postmasters(home)
            wait_until(lambda: find_postmasters(home) not in ([], before))  # noqa: B023
            wait_until(lambda: is_ready(service))
            assert time.monotonic() - killed < 10
            ledger.wait_for_acknowledgements()
    ledger.verify(service.url)
    assert service.log.read_text().count("has died and is started again") == 2


def test_requests_get_503_while_the_database_is_down_and_succeed_afterwards(
    postgres: Postgres, run: Run
) -> None:
    service = run(**PATIENT)
    with AuthedClient(service.url, new_user_id()) as alice:
        task = alice.create_task("Before")
        path = f"/api/tasks/{task['id']}"
        postgres.stop()
        for _ in range(3):
            for method, where, body in (
                ("GET", "/api/tasks", None),
                ("GET", path, None),
                ("POST", "/api/tasks", {"title": "Meanwhile"}),
                ("PUT", path, {"title": "Meanwhile"}),
                ("PATCH", f"{path}/complete", None),
                ("DELETE", path, None),
                ("GET", "/ready", None),
            ):
                assert status(alice.request(method, where, json=body)) == 503
            assert alice.get("/health").status_code == 200
            assert alice.get("/openapi.yaml").status_code == 200
            assert alice.post("/api/tasks", json={}).status_code == 400
            assert httpx.get(f"{service.url}/api/tasks").status_code == 401
        postgres.start()
        wait_until(lambda: is_ready(service))
        assert alice.list_tasks() == [task]
        alice.create_task("After")


def test_no_request_hangs_while_the_database_is_unresponsive(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(DATABASE_STATEMENT_TIMEOUT="1", DATABASE_QUEUE_TIMEOUT="1")
    with AuthedClient(service.url, new_user_id()) as alice:
        task = alice.create_task("Before")
        with postgres.suspended():
            requests = submit(lambda: alice.get("/api/tasks"), 30)
            assert set(statuses(requests)) == {503}
            assert status(alice.get("/ready")) == 503
            assert alice.get("/health").status_code == 200
        wait_until(lambda: is_ready(service))
        assert alice.list_tasks() == [task]


# Restarts of the service


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_acknowledged_write_is_lost_when_the_service_is_killed_under_load(
    run: Run, workers: str
) -> None:
    service = run("--workers", workers)
    with WriteLedger(service.url, service_may_die=True) as ledger:
        for _ in range(2):
            service.kill()
            ledger.wait_for("broken")
            service = run("--workers", workers, port=service.port)
            ledger.wait_for_acknowledgements()
    ledger.verify(service.url)
    assert set(ledger.counts) <= {200, 201, 503, "broken"}


def test_no_acknowledged_write_is_lost_when_the_service_is_restarted_under_load(
    run: Run,
) -> None:
    service = run()
    with WriteLedger(service.url, service_may_die=True) as ledger:
        for _ in range(2):
            service.stop()
            service = run(port=service.port)
            ledger.wait_for_acknowledgements()
    ledger.verify(service.url)
    assert set(ledger.counts) <= {200, 201, "broken"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_in_flight_are_completed_on_shutdown(
    postgres: Postgres, run: Run, submit: Submit, workers: str
) -> None:
    service = run("--workers", workers, **PATIENT)
    user = new_user_id()
    with AuthedClient(service.url, user) as alice:
        path = f"/api/tasks/{alice.create_task('Busy')['id']}/complete"
        with postgres.task_locked(path.split("/")[3]):
            requests = submit(lambda: alice.patch(path), 5)
            wait_until(lambda: postgres.count_lock_waits() == 5)
            service.process.terminate()
            wait_until(lambda: "Waiting for connections" in service.log.read_text())
            assert not any(request.done() for request in requests)
        assert statuses(requests) == [200] * 5
    assert service.process.wait(TIMEOUT_SECONDS) in {0, 143}
    again = run(port=service.port)
    with AuthedClient(again.url, user) as alice:
        (task,) = alice.list_tasks()
        assert task["completed"]


def test_a_rolling_restart_of_two_workers_breaks_no_request(run: Run) -> None:
    service = run("--workers", "2")
    with WriteLedger(service.url, writers=8) as ledger:
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.log.read_text().count("Finished server process") == 2)
        ledger.wait_for_acknowledgements()
    ledger.verify(service.url)
    assert set(ledger.counts) == {200, 201}


def test_before_it_stops_a_service_reports_that_it_is_not_ready(run: Run) -> None:
    service = run(SHUTDOWN_DELAY="2")
    with AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task()
        service.process.terminate()
        wait_until(lambda: not is_ready(service))
        assert len(alice.list_tasks()) == 1
        assert httpx.get(f"{service.url}/health").status_code == 200
    assert service.process.wait(TIMEOUT_SECONDS) in {0, 143}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/health")


def test_a_request_on_its_way_during_shutdown_is_answered(run: Run) -> None:
    service = run()
    with raw_http.connect(service) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        assert "connection" not in raw_http.read_response(connection).headers
        service.process.terminate()
        wait_until(lambda: "Waiting for connections" in service.log.read_text())
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        response = raw_http.read_response(connection)
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert connection.recv(1) == b""


# Overload


def test_more_clients_than_connections_are_all_served(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(DATABASE_POOL_SIZE="2")
    user = new_user_id()

    def visit() -> httpx.Response:
        with AuthedClient(service.url, user) as alice:
            alice.create_task("From one of many")
            return alice.get("/api/tasks", params={"limit": 3})

    assert statuses(submit(visit, 50)) == [200] * 50
    assert postgres.count_connections() <= 2
    with AuthedClient(service.url, user) as alice:
        assert len(alice.list_tasks()) == 50


def revision(client: AuthedClient, path: str) -> int:
    """Return the revision at which a task was last written."""
    return int(client.get(path).headers["etag"].strip('"'))


def test_requests_beyond_the_queue_get_503_and_queued_ones_succeed(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(DATABASE_POOL_SIZE="2", DATABASE_QUEUE_SIZE="3", **PATIENT)
    with AuthedClient(service.url, new_user_id()) as alice:
        task = alice.create_task("Wanted by many")
        path = f"/api/tasks/{task['id']}"
        before = revision(alice, path)
        wait_until(lambda: postgres.count_connections() == 2)
        with postgres.task_locked(task["id"]):
            requests = submit(lambda: alice.patch(f"{path}/complete"), 2)
            wait_until(lambda: postgres.count_lock_waits() == 2)
            time.sleep(0.05)  # until no batch is pipelined behind these
            requests += submit(lambda: alice.patch(f"{path}/complete"), 13)
            wait_until(lambda: sum(request.done() for request in requests) == 10)
            rejected = [request for request in requests if request.done()]
            assert statuses(rejected) == [503] * 10
            assert alice.get("/health").status_code == 200
        assert statuses(requests) == [200] * 5 + [503] * 10
        now = alice.get(path).json()
        assert now["completed"]  # five times, which is odd
        assert revision(alice, path) == before + 5


def test_a_request_queued_for_too_long_is_rejected(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    limits = {**PATIENT, "DATABASE_QUEUE_TIMEOUT": "0.5"}
    service = run(DATABASE_POOL_SIZE="1", **limits)
    with AuthedClient(service.url, new_user_id()) as alice:
        task = alice.create_task("Busy")
        with postgres.task_locked(task["id"]):
            update = submit(lambda: alice.patch(f"/api/tasks/{task['id']}/complete"), 1)
            wait_until(lambda: postgres.count_lock_waits() == 1)
            time.sleep(0.05)  # until no batch is pipelined behind it
            assert statuses(submit(lambda: alice.get("/api/tasks"), 5)) == [503] * 5
        assert statuses(update) == [200]
        assert len(alice.list_tasks()) == 1


def test_a_statement_that_exceeds_its_timeout_is_cancelled(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(DATABASE_STATEMENT_TIMEOUT="0.5")
    with AuthedClient(service.url, new_user_id()) as alice:
        task = alice.create_task("Busy")
        path = f"/api/tasks/{task['id']}"
        with postgres.task_locked(task["id"]):
            assert statuses(submit(lambda: alice.delete(path), 3)) == [503] * 3
            assert postgres.count_lock_waits() == 0
            assert alice.list_tasks() == [task]  # reading needs no lock
        assert "due to statement timeout" in service.log.read_text()
        assert alice.patch(f"{path}/complete").json()["completed"]


def test_connections_beyond_the_limit_get_503_while_all_others_are_in_use(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(MAX_CONNECTIONS="2", **PATIENT)
    user = new_user_id()
    with AuthedClient(service.url, user) as alice:
        task = alice.create_task("Busy")
        with postgres.task_locked(task["id"]):

            def complete() -> httpx.Response:
                with AuthedClient(service.url, user) as client:
                    return client.patch(f"/api/tasks/{task['id']}/complete")

            requests = submit(complete, 2)  # the first closes the idle connection of alice
            wait_until(lambda: postgres.count_lock_waits() == 2)
            with AuthedClient(service.url, user) as another:
                response = another.get("/api/tasks")
                assert response.status_code == 503
                assert response.headers["retry-after"] == "1"
                assert "connections" in response.json()["detail"]
        assert statuses(requests) == [200] * 2
        assert len(alice.list_tasks()) == 1


# Clients that disconnect


def hang_up(service: Service, request: bytes, *, after: float = 0) -> None:
    """Send a request, or a part of one; disconnect `after` seconds later."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(request)
        time.sleep(after)


def request(user: str, line: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a raw request; `length` may announce a longer body."""
    head = (
        f"{line} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {clients.token(user)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_a_request_whose_body_is_cut_off_writes_nothing(run: Run) -> None:
    service = run(DATABASE_POOL_SIZE="2")
    user = new_user_id()
    body = b'{"title": "Never meant to be whole"}'
    promising = request(user, "POST /api/tasks", body, length=len(body) + 1)
    for size in range(len(promising) - 60, len(promising) + 1):
        hang_up(service, promising[:size])
    for _ in range(10):  # as above, but the service has time to read the incomplete body
        hang_up(service, promising, after=0.1)
    with AuthedClient(service.url, user) as alice:
        assert alice.list_tasks() == []
        alice.create_task("Meant")


def test_clients_that_disconnect_early_corrupt_no_connection(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(DATABASE_POOL_SIZE="2", **PATIENT)
    with ExitStack() as stack:
        alice, bob = (
            stack.enter_context(AuthedClient(service.url, new_user_id())) for _ in range(2)
        )
        hers, his = alice.create_task("Hers"), bob.create_task("His")
        read = request(alice.id, "GET /api/tasks")
        flip = request(alice.id, f"PATCH /api/tasks/{hers['id']}/complete")
        for number in range(100):  # some before the service has read it, some during the query
            hang_up(service, read if number % 2 else flip, after=number % 5 / 1000)
        with postgres.task_locked(hers["id"]):
            for _ in range(20):  # all are blocked by the lock, or queued
                hang_up(service, flip)
            wait_until(lambda: postgres.count_lock_waits() == 2)
        assert statuses(submit(lambda: bob.get("/api/tasks"), 50)) == [200] * 50
        assert bob.list_tasks() == [his]
        assert [task["id"] for task in alice.list_tasks()] == [hers["id"]]
        assert postgres.count_connections() <= 2
