"""Synchronization: replicas that read the changes end up with the list.

The trial has several writers of one user and two replicas that synchronize meanwhile. The
controls show that it could fail: replicas that use `updated_at`, or revisions without the
lock on the user's row, miss a change that is committed late.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.cluster import Cluster, run_query, set_user
from harness.postgres import wait_until
from harness.problems import validation_errors
from harness.replica import Replica, Task, Tasks, listed
from harness.service import Service
from models import queries
from models.postgres.statements import Statement

WRITERS = 6
WRITES = 60  # by each writer


def write(client: AuthedClient, rng: random.Random, known: list[str]) -> None:
    """Send one write; tasks may have been deleted by others."""
    path = f"/api/tasks/{rng.choice(known)}" if known else "/api/tasks"
    match rng.choices(range(6), [30, 20, 20, 10, 2, 5])[0]:
        case 1 if known:
            response = client.patch(path, json={"title": f"{rng.random()}"})
        case 2 if known:
            response = client.patch(f"{path}/complete")
        case 3 if known:
            response = client.delete(path)
        case 4:
            response = client.delete("/api/tasks", params={"status": "completed"})
        case 5:
            key = {"Idempotency-Key": f"{rng.randrange(20)}"}
            response = client.post("/api/tasks", json={"title": "keyed"}, headers=key)
        case _:
            response = client.post("/api/tasks", json={"title": f"{rng.random()}"})
            known.append(response.json()["id"])
    assert response.status_code in (200, 201, 204, 404), response.text


def test_replicas_that_synchronize_while_others_write_end_up_with_the_list(
    service: Service,
) -> None:
    user = new_user_id()
    known: list[str] = []
    over = Event()

    def write_often(seed: int) -> None:
        rng = random.Random(seed)
        with AuthedClient(service.url, user) as client:
            client.event_hooks = {}  # validating each response would make writers slow
            for _ in range(WRITES):
                write(client, rng, known)

    def keep_synchronizing(replica: Replica) -> None:
        while not over.is_set():
            replica.synchronize()

    with ExitStack() as stack:
        clients = [stack.enter_context(AuthedClient(service.url, user)) for _ in range(3)]
        replicas = [Replica(clients[0], 3), Replica(clients[1], 10)]
        clients[0].event_hooks = clients[1].event_hooks = {}
        with ThreadPoolExecutor(WRITERS + 2) as pool:
            readers = [pool.submit(keep_synchronizing, replica) for replica in replicas]
            writers = [pool.submit(write_often, seed) for seed in range(WRITERS)]
            try:
                for writer in writers:
                    writer.result(300)
            finally:
                over.set()
            for reader in readers:
                reader.result(60)
        expected = listed(clients[2])
        assert len(expected) > 10
        for replica in replicas:
            assert replica.pages > 20
            assert replica.synchronize() == expected
        assert Replica(clients[2], 7).synchronize() == expected


# Controls: what would miss a change, and does


@contextmanager
def transaction(cluster: Cluster, user: str) -> Iterator[psycopg.Connection]:
    """Begin a transaction as the service does; it is rolled back unless committed."""
    with psycopg.connect(cluster.app) as connection:
        set_user(connection, user)
        yield connection
        connection.rollback()


def complete(
    connection: psycopg.Connection,
    user: str,
    task: Task,
    statement: Statement = queries.COMPLETE,
) -> None:
    """Toggle a task with a statement of the service, in this transaction."""
    values = {"user_id": user, "task_id": task["id"], "versions": None, "new_completed": None}
    assert run_query(connection, statement.bind(values))


class WatermarkReplica:
    """A copy that asks for what was updated since the latest `updated_at` that it has."""

    def __init__(self, client: AuthedClient) -> None:
        """Start with nothing."""
        self.client = client
        self.tasks: Tasks = {}

    def synchronize(self) -> Tasks:
        """Read the list from the latest change to the watermark; return the tasks."""
        mark = max((task["updated_at"] for task in self.tasks.values()), default="")
        for task in self.client.list_tasks(sort="updated"):
            if task["updated_at"] >= mark:
                self.tasks[task["id"]] = task
        return self.tasks


def test_a_replica_with_watermarks_misses_a_change_that_is_committed_late(
    alice: AuthedClient, service_db: Cluster
) -> None:
    """The control: `updated_at` is when a transaction began, not when it was committed."""
    early = alice.create_task("Early")
    watermark, replica = WatermarkReplica(alice), Replica(alice, 10)
    assert watermark.synchronize() == replica.synchronize() == listed(alice)
    with transaction(service_db, alice.id) as late:
        alice.create_task("Meanwhile")
        assert watermark.synchronize() == replica.synchronize() == listed(alice)
        complete(late, alice.id, early)
        late.commit()
    assert alice.get(f"/api/tasks/{early['id']}").json()["completed"] is True
    for _ in range(2):
        assert replica.synchronize() == listed(alice)
        assert watermark.synchronize() != listed(alice)


def toggle_in_background(
    pool: ThreadPoolExecutor, alice: AuthedClient, task: Task
) -> Callable[[], httpx.Response]:
    future = pool.submit(alice.patch, f"/api/tasks/{task['id']}/complete")
    return lambda: future.result(60)


def test_a_later_revision_is_never_committed_before_an_earlier_one(
    alice: AuthedClient, service_db: Cluster
) -> None:
    first, second = alice.create_task("1"), alice.create_task("2")
    replica = Replica(alice, 10)
    replica.synchronize()
    waiting = """SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'todo_login' AND wait_event_type = 'Lock'"""
    with ThreadPoolExecutor(1) as pool, transaction(service_db, alice.id) as held:
        complete(held, alice.id, first)
        response = toggle_in_background(pool, alice, second)
        wait_until(lambda: service_db.scalar(waiting) >= 1)
        assert replica.synchronize().keys() == {first["id"], second["id"]}
        assert [task["completed"] for task in replica.tasks.values()] == [False, False]
        held.commit()
        assert response().status_code == 200
    assert replica.synchronize() == listed(alice)
    assert [task["completed"] for task in replica.tasks.values()] == [True, True]


def test_without_the_lock_a_replica_misses_a_change_that_is_committed_late(
    alice: AuthedClient, service_db: Cluster
) -> None:
    """The control: the same statement with the numbers of a sequence, as in a counter."""
    first, second = alice.create_task("1"), alice.create_task("2")
    replica = Replica(alice, 10)
    replica.synchronize()
    revision = service_db.scalar(f"SELECT revision FROM todo.users WHERE id = '{alice.id}'")
    name = f"unlocked_{revision}"
    service_db.execute(f"""
        CREATE SEQUENCE public.{name} START {revision + 1};
        GRANT ALL ON public.{name} TO PUBLIC""")
    begin = queries.COMPLETE.sql.index(b"UPDATE todo.users")
    end = queries.COMPLETE.sql.index(b"RETURNING revision)")
    sql = queries.COMPLETE.sql
    bump = f"SELECT nextval('public.{name}') AS revision)".encode()
    unlocked = Statement(
        sql[:begin] + bump + sql[end + len(b"RETURNING revision)") :],
        queries.COMPLETE.parameters,
        writes=True,
    )

    def raise_revision() -> None:
        service_db.execute(f"""
            UPDATE todo.users SET revision = (SELECT last_value FROM public.{name})
            WHERE id = '{alice.id}'""")

    try:
        with transaction(service_db, alice.id) as late:
            complete(late, alice.id, first, unlocked)
            with transaction(service_db, alice.id) as early:
                complete(early, alice.id, second, unlocked)
                early.commit()
            raise_revision()
            assert replica.synchronize() == listed(alice)
            late.commit()
        raise_revision()
    finally:
        service_db.execute(f"DROP SEQUENCE public.{name}")
    assert [task["completed"] for task in listed(alice).values()] == [True, True]
    assert replica.synchronize() != listed(alice)
    alice.create_task("3")
    assert replica.synchronize() != listed(alice)


# Reading in pages


def changes(client: AuthedClient, **query: Any) -> dict[str, Any]:
    response = client.get("/api/tasks/changes", params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def expired(client: AuthedClient, token: str) -> bool:
    """Return whether a token is answered with 410."""
    response = client.get("/api/tasks/changes", params={"since": token})
    if response.status_code == 410:
        assert response.json()["type"] == "/problems/changes-expired"
    else:
        assert response.status_code == 200, response.text
    return response.status_code == 410


def test_changes_are_in_their_order_and_each_task_is_there_once(alice: AuthedClient) -> None:
    first, second = alice.create_task("1"), alice.create_task("2")
    found = changes(alice)
    assert found.keys() == {"changed", "deleted", "next", "more"}
    assert (found["changed"], found["deleted"], found["more"]) == ([first, second], [], False)
    for _ in range(3):
        alice.patch(f"/api/tasks/{first['id']}/complete")
    alice.delete(f"/api/tasks/{second['id']}")
    later = changes(alice, since=found["next"])
    assert [task["id"] for task in later["changed"]] == [first["id"]]
    assert later["changed"][0]["completed"] is True
    assert later["deleted"] == [second["id"]]
    nothing = changes(alice, since=later["next"])
    assert nothing == {"changed": [], "deleted": [], "next": later["next"], "more": False}


def test_a_user_who_has_never_written_has_no_changes(alice: AuthedClient) -> None:
    found = changes(alice)
    assert (found["changed"], found["deleted"], found["more"]) == ([], [], False)
    assert changes(alice, since=found["next"]) == found
    task = alice.create_task()
    assert changes(alice, since=found["next"])["changed"] == [task]


def test_a_full_read_in_pages_while_tasks_are_deleted(alice: AuthedClient) -> None:
    tasks = [alice.create_task(f"{number}") for number in range(12)]
    replica = Replica(alice, 2)
    replica.read_page()
    alice.delete(f"/api/tasks/{tasks[0]['id']}")  # read already
    alice.delete(f"/api/tasks/{tasks[1]['id']}")  # the last one read
    alice.delete(f"/api/tasks/{tasks[2]['id']}")  # the next one
    alice.delete(f"/api/tasks/{tasks[11]['id']}")  # the last one
    replica.read_page()
    alice.delete(f"/api/tasks/{tasks[4]['id']}")
    alice.patch(f"/api/tasks/{tasks[3]['id']}", json={"title": "moved to the end"})
    alice.create_task("new")
    assert replica.synchronize() == listed(alice)


def test_a_full_read_survives_that_deletions_from_before_it_are_forgotten(
    alice: AuthedClient, service_db: Cluster
) -> None:
    """The tokens of its pages are below what is forgotten; it began above."""
    kept = [alice.create_task(f"{number}") for number in range(6)]
    for _ in range(2):
        alice.delete(f"/api/tasks/{alice.create_task('gone')['id']}")
    replica = Replica(alice, 2)
    assert replica.read_page()
    age_deletions(service_db, alice.id)
    alice.delete(f"/api/tasks/{kept[0]['id']}")
    assert deletions(service_db, alice.id) == 1
    assert replica.synchronize() == listed(alice)
    assert len(replica.tasks) == 5


def test_many_tasks_of_one_revision_are_read_in_pages(
    alice: AuthedClient, service_db: Cluster
) -> None:
    """Cleared tasks have one revision, and so may tasks from before version 1.0.0."""
    for number in range(9):
        alice.create_task(f"{number}", completed=number < 5)
    service_db.execute(f"UPDATE todo.tasks SET version = 1 WHERE user_id = '{alice.id}'")
    replica = Replica(alice, 2)
    assert replica.synchronize() == listed(alice)
    alice.delete("/api/tasks", params={"status": "completed"})
    found = changes(alice, since=replica.token, limit=3)
    assert (len(found["deleted"]), found["more"]) == (3, True)
    assert replica.synchronize() == listed(alice)
    assert len(replica.tasks) == 4


def test_the_user_scoped_form_has_the_same_changes(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    task = alice.create_task()
    response = alice.get(f"/api/{alice.id}/tasks/changes/")
    assert response.json()["changed"] == [task]
    assert alice.get(f"/api/{bob.id}/tasks/changes").status_code == 403


def test_changes_are_those_of_the_user_only(alice: AuthedClient, bob: AuthedClient) -> None:
    alice.create_task()
    gone = alice.create_task()
    token = changes(alice)["next"]
    alice.delete(f"/api/tasks/{gone['id']}")
    own = bob.create_task()
    assert changes(bob)["changed"] == [own]
    response = bob.get("/api/tasks/changes", params={"since": token})
    assert response.status_code == 410  # bob's revisions began later


# Tokens that are too old, of the future, or none


def age_deletions(cluster: Cluster, user: str, age: str = "91 days") -> None:
    cluster.execute(f"""
        UPDATE todo.deleted_tasks SET deleted_at = now() - interval '{age}'
        WHERE user_id = '{user}'""")


def deletions(cluster: Cluster, user: str) -> int:
    return int(
        cluster.scalar(f"SELECT count(*) FROM todo.deleted_tasks WHERE user_id = '{user}'")
    )


def test_a_token_is_refused_once_deletions_since_then_are_forgotten(
    alice: AuthedClient, service_db: Cluster
) -> None:
    tasks = [alice.create_task(f"{number}") for number in range(8)]

    def delete_next() -> str:
        """Delete a task; return the token after that."""
        assert alice.delete(f"/api/tasks/{tasks.pop()['id']}").status_code == 204
        return str(changes(alice)["next"])

    tokens = [str(changes(alice)["next"]), *(delete_next() for _ in range(5))]
    assert not any(expired(alice, token) for token in tokens)
    age_deletions(service_db, alice.id)
    assert not any(expired(alice, token) for token in tokens)
    delete_next()  # forgets two of the five
    assert deletions(service_db, alice.id) == 4
    assert [expired(alice, token) for token in tokens] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert len(changes(alice, since=tokens[2])["deleted"]) == 4
    delete_next()
    assert deletions(service_db, alice.id) == 3
    assert [expired(alice, token) for token in tokens] == [True] * 4 + [False] * 2
    assert Replica(alice, 1).synchronize() == listed(alice)


def test_deletions_younger_than_the_retention_are_never_forgotten(
    alice: AuthedClient, service_db: Cluster
) -> None:
    tasks = [alice.create_task(f"{number}") for number in range(5)]
    token = changes(alice)["next"]
    for task in tasks:
        alice.delete(f"/api/tasks/{task['id']}")
        age_deletions(service_db, alice.id, "89 days 23 hours")
    assert deletions(service_db, alice.id) == 5
    found = changes(alice, since=token)
    assert found["deleted"] == [task["id"] for task in tasks]


def test_a_token_within_a_forgotten_revision_is_refused(
    alice: AuthedClient, service_db: Cluster
) -> None:
    """Of five tasks that were cleared at once, two are forgotten first."""
    for number in range(5):
        alice.create_task(f"{number}", completed=True)
    before = changes(alice)["next"]
    alice.delete("/api/tasks", params={"status": "completed"})
    within = changes(alice, since=before, limit=1)["next"]
    after = changes(alice)["next"]
    age_deletions(service_db, alice.id)
    alice.delete(f"/api/tasks/{alice.create_task()['id']}")
    assert deletions(service_db, alice.id) == 4
    assert [expired(alice, token) for token in (before, within, after)] == [True, True, False]


def test_a_token_of_the_future_is_refused(alice: AuthedClient) -> None:
    alice.create_task()
    token = changes(alice)["next"]
    assert not expired(alice, token)
    assert expired(alice, f"r{int(token[1:]) + 1}")
    assert expired(alice, f"r{10**18 - 1}")


def test_a_token_of_a_user_who_has_been_erased_is_refused(
    alice: AuthedClient, service_db: Cluster
) -> None:
    alice.create_task()
    alice.create_task()
    tokens = [changes(alice)["next"], changes(alice, limit=1)["next"]]
    service_db.execute(f"DELETE FROM todo.users WHERE id = '{alice.id}'")
    assert all(expired(alice, token) for token in tokens)
    assert changes(alice)["changed"] == []
    task = alice.create_task("Back again")
    assert all(expired(alice, token) for token in tokens)
    assert changes(alice)["changed"] == [task]


UUID = "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "r",
        "1",
        "r1_",
        "R1",
        "r-1",
        "r1r1",
        f"r1_{UUID}",
        f"r1_{UUID}_",
        f"r1_{UUID.upper()}_1",
        f"r1_{'-' * 36}_1",
        f"r1_{UUID}_{10**18}",
        f"r{10**18}",
        "r" + "9" * 99,
        "r" + "9" * 100,
        "r1.5",
        "r\u0661",
        "r1\n",
        "r1\0",
        "r1 ",
        "",
    ],
)
def test_a_token_that_is_none_is_refused_by_name(token: str, alice: AuthedClient) -> None:
    alice.create_task()
    response = alice.get("/api/tasks/changes", params={"since": token})
    assert validation_errors(response).keys() == {"since"}


@pytest.mark.parametrize("limit", ["0", "10001", "-1", "x", "", "1.0"])
def test_a_bad_limit_is_refused_by_name(limit: str, alice: AuthedClient) -> None:
    response = alice.get("/api/tasks/changes", params={"limit": limit})
    assert validation_errors(response).keys() == {"limit"}
