"""Clients that disconnect before they have a response."""

import socket
import time
from contextlib import ExitStack

from harness import clients
from harness.clients import AuthedClient, new_user_id
from harness.faults import PATIENT, Run, Submit, statuses
from harness.postgres import Postgres, wait_until
from harness.service import Service

pytest_plugins = ["harness.isolated_services"]


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
        alice, bob, carol = (
            stack.enter_context(AuthedClient(service.url, new_user_id())) for _ in range(3)
        )
        hers, his, third = (client.create_task() for client in (alice, bob, carol))
        read = request(alice.id, "GET /api/tasks")
        flip = request(alice.id, f"PATCH /api/tasks/{hers['id']}/complete")
        for number in range(100):  # some before the service has read it, some during the query
            hang_up(service, read if number % 2 else flip, after=number % 5 / 1000)
        another = request(carol.id, f"PATCH /api/tasks/{third['id']}/complete")
        with postgres.task_locked(hers["id"], third["id"]):
            for number in range(20):  # all are blocked by the lock, or wait for their turn
                hang_up(service, another if number % 2 else flip)
            wait_until(lambda: postgres.count_lock_waits() == 2)
        assert statuses(submit(lambda: bob.get("/api/tasks"), 50)) == [200] * 50
        assert bob.list_tasks() == [his]
        assert [task["id"] for task in alice.list_tasks()] == [hers["id"]]
        assert postgres.count_connections() <= 2
