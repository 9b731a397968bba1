"""More requests or connections than the service takes: 503 for those, at once."""

import time
from typing import Any

import httpx

from harness.clients import AuthedClient, new_user_id
from harness.faults import PATIENT, Run, Submit, statuses
from harness.postgres import Postgres, wait_until

pytest_plugins = ["harness.isolated_services"]


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
    return int(client.get(path).headers["etag"].strip('"').partition("-")[2])


def test_requests_beyond_the_queue_get_503_and_queued_ones_succeed(
    postgres: Postgres, run: Run, submit: Submit
) -> None:
    # Of one user's writes, a tenth of that may wait.
    service = run(DATABASE_POOL_SIZE="2", DATABASE_QUEUE_SIZE="40", **PATIENT)
    with (
        AuthedClient(service.url, new_user_id()) as alice,
        AuthedClient(service.url, new_user_id()) as bob,
    ):
        task = alice.create_task("Wanted by many")
        path = f"/api/tasks/{task['id']}"
        before = revision(alice, path)
        with postgres.task_locked(task["id"]):
            requests = submit(lambda: alice.patch(f"{path}/complete"), 15)
            wait_until(lambda: sum(request.done() for request in requests) == 10)
            rejected = [request for request in requests if request.done()]
            assert statuses(rejected) == [503] * 10
            assert postgres.count_lock_waits() == 1
            assert bob.create_task("Not in their way")["title"]
            assert alice.list_tasks() == [task]
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
    users = [new_user_id(), new_user_id()]
    with (
        AuthedClient(service.url, users[0]) as alice,
        AuthedClient(service.url, users[1]) as bob,
    ):
        hers, his = alice.create_task("Hers"), bob.create_task("His")
        with postgres.task_locked(hers["id"], his["id"]):

            def complete(user: str, task: dict[str, Any]) -> httpx.Response:
                with AuthedClient(service.url, user) as client:
                    return client.patch(f"/api/tasks/{task['id']}/complete")

            requests = submit(lambda: complete(users[0], hers), 1)
            wait_until(lambda: postgres.count_lock_waits() == 1)
            # The connection of alice is idle, so it is closed for this one. Two at once might
            # close each other's: a connection that has sent nothing goes before one that has.
            requests += submit(lambda: complete(users[1], his), 1)
            wait_until(lambda: postgres.count_lock_waits() == 2)
            with AuthedClient(service.url, users[0]) as another:
                response = another.get("/api/tasks")
                assert response.status_code == 503
                assert response.headers["retry-after"] == "1"
                assert "connections" in response.json()["detail"]
        assert statuses(requests) == [200] * 2
        assert len(alice.list_tasks()) == 1
