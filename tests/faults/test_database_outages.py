"""Outages of the database.

Acknowledged writes are stored; requests that cannot be served get a 503 with Retry-After
immediately; no request hangs; and the service recovers by itself.
"""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.faults import PATIENT, Run, Submit, is_ready, status, statuses
from harness.postgres import Postgres, find_postmasters, kill_postmasters, wait_until
from harness.service import SECRET, Serve
from harness.workers import server_processes
from harness.write_ledger import WriteLedger

pytest_plugins = ["harness.isolated_services"]


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
            ledger.check_recovery("PostgreSQL ended")
    ledger.verify(service.url)
    assert set(ledger.counts) == {200, 201, 503}


def test_an_embedded_postgresql_that_is_killed_under_load_is_back_within_seconds(
    migrated_data_dir: Path, serve: Serve
) -> None:
    environment = {"DATA_DIR": str(migrated_data_dir), "BETTER_AUTH_SECRET": SECRET}
    service = serve(environment, "--workers", "2").wait_until_healthy()
    home = migrated_data_dir / "postgres"
    with WriteLedger(service.url) as ledger:
        for _ in range(5):
            before = find_postmasters(home)
            killed = time.monotonic()
            kill_postmasters(home)
            wait_until(lambda: find_postmasters(home) not in ([], before))  # noqa: B023
            ledger.check_recovery("the embedded PostgreSQL was killed", killed)
    ledger.verify(service.url)
    assert service.log.read_text().count("has died and is started again") == 5


def test_a_worker_that_dies_during_an_outage_is_replaced_and_the_others_go_on(
    postgres: Postgres, run: Run
) -> None:
    """A worker tries for ten seconds to connect at its start."""
    service = run("--workers", "2", **PATIENT)

    def starts(number: int) -> bool:
        return service.log.read_text().count("Application startup complete.") == number

    wait_until(lambda: starts(2))
    kept, killed = server_processes(service)
    postgres.stop()
    killed.kill()
    wait_until(lambda: "this worker cannot start" in service.log.read_text())
    assert kept in server_processes(service)
    postgres.start()
    wait_until(lambda: starts(3))
    assert kept in server_processes(service)
    assert is_ready(service)


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
