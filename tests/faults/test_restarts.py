"""Restarts of the service, and its sudden end: no acknowledged write is lost."""

import signal
from contextlib import ExitStack
from functools import partial

import httpx
import pytest

from harness import raw_http
from harness.clients import AuthedClient, new_user_id
from harness.faults import PATIENT, Run, Submit, is_ready, statuses
from harness.postgres import TIMEOUT_SECONDS, Postgres, wait_until
from harness.write_ledger import WriteLedger

pytest_plugins = ["harness.isolated_services"]


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
            ledger.check_recovery("the service was killed")
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
            ledger.check_recovery("the service was restarted")
    ledger.verify(service.url)
    assert set(ledger.counts) <= {200, 201, "broken"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_in_flight_are_completed_on_shutdown(
    postgres: Postgres, run: Run, submit: Submit, workers: str
) -> None:
    service = run("--workers", workers, **PATIENT)
    users = [new_user_id() for _ in range(5)]
    with ExitStack() as stack:
        clients = [stack.enter_context(AuthedClient(service.url, user)) for user in users]
        tasks = [client.create_task("Busy")["id"] for client in clients]
        with postgres.task_locked(*tasks):
            requests = [
                request
                for client, task in zip(clients, tasks, strict=True)
                for request in submit(partial(client.patch, f"/api/tasks/{task}/complete"), 1)
            ]
            wait_until(lambda: postgres.count_lock_waits() == 5)
            service.process.terminate()
            wait_until(lambda: "Waiting for connections" in service.log.read_text())
            assert not any(request.done() for request in requests)
        assert statuses(requests) == [200] * 5
    assert service.process.wait(TIMEOUT_SECONDS) in {0, 143}
    again = run(port=service.port)
    for user in users:
        with AuthedClient(again.url, user) as client:
            (task,) = client.list_tasks()
            assert task["completed"]


def test_a_request_that_outlasts_the_shutdown_timeout_gets_a_problem(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    service = run(**{**PATIENT, "SHUTDOWN_TIMEOUT": "1"})
    with AuthedClient(service.url, new_user_id()) as alice:
        path = f"/api/tasks/{alice.create_task('Locked')['id']}/complete"
        with postgres.task_locked(path.split("/")[3]):
            (request,) = submit(lambda: alice.patch(path), 1)
            wait_until(lambda: postgres.count_lock_waits() == 1)
            service.process.terminate()
            response = request.result(TIMEOUT_SECONDS)
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/outcome-unknown"
    assert "Traceback" not in service.log.read_text()


def test_a_rolling_restart_of_two_workers_breaks_no_request(run: Run) -> None:
    service = run("--workers", "2")
    with WriteLedger(service.url, writers=8) as ledger:
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.log.read_text().count("Finished server process") == 2)
        ledger.check_recovery("the workers were replaced")
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
