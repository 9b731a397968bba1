"""A 503 says whether a change may have happened: it has a type of its own then."""

from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.faults import is_ready
from harness.postgres import Postgres, wait_until
from harness.service import Serve, Service

pytest_plugins = ["harness.isolated_services"]

KEY = {"Idempotency-Key": "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"}
FIELDS = {"title": "Pay the rent"}
OUTCOME_UNKNOWN = "/problems/outcome-unknown"
SERVICE_UNAVAILABLE = "/problems/service-unavailable"


@pytest.fixture
def impatient(postgres: Postgres, serve: Serve) -> Service:
    """Run a service with one connection, that gives up after a second or two."""
    return serve(
        {
            **postgres.environment,
            "DATABASE_STATEMENT_TIMEOUT": "1",
            "DATABASE_QUEUE_TIMEOUT": "1",
            "DATABASE_POOL_SIZE": "1",
        },
        "--workers",
        "1",
    ).wait_until_healthy()


def wait_until_ready(service: Service) -> None:
    wait_until(lambda: is_ready(service))


def problem_type(response: httpx.Response) -> str:
    """Return the type of a 503."""
    assert response.status_code == 503, response.text
    assert int(response.headers["retry-after"]) >= 1
    return str(response.json()["type"])


def test_a_create_without_a_response_has_an_unknown_outcome(
    postgres: Postgres, impatient: Service
) -> None:
    with AuthedClient(impatient.url, new_user_id()) as alice:
        before = alice.create_task("Before")
        with postgres.suspended():
            response = alice.post("/api/tasks", json=FIELDS, headers=KEY)
            assert problem_type(response) == OUTCOME_UNKNOWN
        wait_until_ready(impatient)
        first = alice.post("/api/tasks", json=FIELDS, headers=KEY)
        assert first.status_code == 201
        again = alice.post("/api/tasks", json=FIELDS, headers=KEY)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
        assert alice.list_tasks() == [first.json(), before]


def test_every_write_without_a_response_has_an_unknown_outcome(
    postgres: Postgres, impatient: Service
) -> None:
    with AuthedClient(impatient.url, new_user_id()) as alice:
        path = f"/api/tasks/{alice.create_task()['id']}"
        for method, where, body in (
            ("POST", "/api/tasks", FIELDS),
            ("PUT", path, FIELDS),
            ("PATCH", path, FIELDS),
            ("PATCH", f"{path}/complete", None),
            ("DELETE", "/api/tasks?status=completed", None),
            ("DELETE", path, None),
        ):
            with postgres.suspended():
                response = alice.request(method, where, json=body)
                assert problem_type(response) == OUTCOME_UNKNOWN, (method, where)
            wait_until_ready(impatient)


def test_after_a_read_without_a_response_nothing_has_happened(
    postgres: Postgres, impatient: Service
) -> None:
    with AuthedClient(impatient.url, new_user_id()) as alice:
        path = f"/api/tasks/{alice.create_task()['id']}"
        for where in ("/api/tasks", "/api/tasks?search=x", "/api/tasks/changes", path):
            with postgres.suspended():
                assert problem_type(alice.get(where)) == SERVICE_UNAVAILABLE, where
            wait_until_ready(impatient)


def test_a_write_that_was_never_sent_has_not_happened(
    postgres: Postgres, impatient: Service
) -> None:
    """It waits for a connection that another one occupies, or there is none."""
    with (
        AuthedClient(impatient.url, new_user_id()) as alice,
        AuthedClient(impatient.url, new_user_id()) as bob,
        ThreadPoolExecutor(1) as pool,
    ):
        task = alice.create_task("Before")
        bob.create_task("Bob's")
        postgres.stop()
        response = alice.post("/api/tasks", json=FIELDS, headers=KEY)
        while problem_type(response) != SERVICE_UNAVAILABLE:
            response = alice.post("/api/tasks", json=FIELDS, headers=KEY)
        for _ in range(3):
            response = alice.post("/api/tasks", json=FIELDS)
            assert problem_type(response) == SERVICE_UNAVAILABLE
        postgres.start()
        wait_until_ready(impatient)
        assert alice.list_tasks() == [task]
        path = f"/api/tasks/{task['id']}"
        with postgres.task_locked(task["id"]):
            blocked: Future[httpx.Response] = pool.submit(
                alice.put, path, json={"title": "Blocked"}
            )
            wait_until(lambda: postgres.count_lock_waits() >= 1)
            # PostgreSQL itself cancels it, so it is known that nothing has changed.
            assert problem_type(blocked.result(60)) == SERVICE_UNAVAILABLE
        assert alice.get(path).json() == task


def test_requests_beyond_the_queue_have_not_happened(postgres: Postgres, serve: Serve) -> None:
    service = serve(
        {
            **postgres.environment,
            "DATABASE_POOL_SIZE": "1",
            "DATABASE_QUEUE_SIZE": "1",
            "DATABASE_STATEMENT_TIMEOUT": "3",
            "DATABASE_QUEUE_TIMEOUT": "1",
        },
        "--workers",
        "1",
    ).wait_until_healthy()
    with (
        AuthedClient(service.url, new_user_id()) as alice,
        ThreadPoolExecutor(30) as pool,
    ):
        task = alice.create_task("Before")
        with postgres.suspended():
            creates = [pool.submit(alice.post, "/api/tasks", json=FIELDS) for _ in range(30)]
            types = [problem_type(create.result(60)) for create in creates]
        assert set(types) == {OUTCOME_UNKNOWN, SERVICE_UNAVAILABLE}
        wait_until_ready(service)
        created = [title for title in alice.list_titles() if title != task["title"]]
        assert len(created) <= types.count(OUTCOME_UNKNOWN)
