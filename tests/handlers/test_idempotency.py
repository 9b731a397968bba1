"""`Idempotency-Key`: a retry of a create gets the first response, and creates nothing."""

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.cluster import Cluster
from harness.concurrency import run_concurrently
from harness.problems import validation_errors
from models.errors import KeyReused
from models.postgres.database import Database
from models.tasks import StoredTask, create_task

KEY = "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"
FIELDS = {
    "title": "Pay the rent",
    "description": None,
    "priority": "urgent",
    "due_date": "2026-12-01T18:00:00+01:00",
    "tags": ["home", "money"],
}
FIRST_RESPONSE = ("location", "etag", "content-type", "cache-control")


def post(client: AuthedClient, fields: dict[str, Any], key: str = KEY) -> httpx.Response:
    return client.post("/api/tasks", json=fields, headers={"Idempotency-Key": key})


def assert_replayed(response: httpx.Response, first: httpx.Response) -> None:
    """Fail unless a response is the first one again."""
    assert response.status_code == first.status_code == 201
    assert response.content == first.content
    for name in FIRST_RESPONSE:
        assert response.headers[name] == first.headers[name]
    assert response.headers["idempotency-replayed"] == "true"


def test_the_first_response_does_not_say_that_it_is_replayed(alice: AuthedClient) -> None:
    first = post(alice, FIELDS)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    assert first.headers["location"] == f"/api/tasks/{first.json()['id']}"
    read = alice.get(first.headers["location"])
    assert (read.json(), read.headers["etag"]) == (first.json(), first.headers["etag"])


def test_a_retry_gets_the_first_response_and_creates_nothing(alice: AuthedClient) -> None:
    first = post(alice, FIELDS)
    for _ in range(3):
        assert_replayed(post(alice, FIELDS), first)
    assert alice.list_tasks() == [first.json()]


def test_a_retry_gets_the_first_response_after_the_task_has_changed(
    alice: AuthedClient,
) -> None:
    first = post(alice, FIELDS)
    path = first.headers["location"]
    alice.patch(path, json={"title": "Changed"})
    assert_replayed(post(alice, FIELDS), first)
    alice.patch(f"{path}/complete")
    assert_replayed(post(alice, FIELDS), first)
    assert [task["title"] for task in alice.list_tasks()] == ["Changed"]
    alice.delete(path)
    assert_replayed(post(alice, FIELDS), first)
    assert alice.list_tasks() == []
    assert alice.get(path).status_code == 404


@pytest.mark.parametrize(
    "other",
    [
        {**FIELDS, "title": "Pay the rent "},
        {**FIELDS, "tags": ["money", "home"]},
        {**FIELDS, "due_date": "2026-12-01T18:00:00Z"},
        {**FIELDS, "completed": True},
        {"title": "Pay the rent"},
    ],
)
def test_other_fields_are_refused(other: dict[str, Any], alice: AuthedClient) -> None:
    first = post(alice, FIELDS)
    refused = post(alice, other)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/idempotency-key-reused"
    assert "idempotency-replayed" not in refused.headers
    assert alice.list_tasks() == [first.json()]
    assert_replayed(post(alice, FIELDS), first)


def test_the_order_of_fields_and_the_offset_of_an_instant_do_not_matter(
    alice: AuthedClient,
) -> None:
    first = post(alice, FIELDS)
    reordered = dict(reversed(FIELDS.items()))
    assert_replayed(post(alice, reordered), first)
    for instant in (
        "2026-12-01T17:00:00Z",
        "2026-12-01T17:00:00.000000000Z",
        "2026-12-01T12:00:00-05:00",
        "2026-12-02T02:45:00.0+09:45",
    ):
        assert_replayed(post(alice, {**FIELDS, "due_date": instant}), first)


@pytest.mark.parametrize("tasks_before", [0, 1])
def test_of_twenty_at_once_one_creates(tasks_before: int, alice: AuthedClient) -> None:
    before = [alice.create_task() for _ in range(tasks_before)]
    responses = run_concurrently([lambda: post(alice, FIELDS)] * 20)
    (first,) = [r for r in responses if "idempotency-replayed" not in r.headers]
    assert first.status_code == 201
    for response in responses:
        if response is not first:
            assert_replayed(response, first)
    assert alice.list_tasks() == [first.json(), *before]


def test_of_several_bodies_at_once_one_creates(alice: AuthedClient) -> None:
    bodies = [{"title": f"{number % 4}"} for number in range(12)]
    calls: list[Callable[[], httpx.Response]] = [
        lambda body=body: post(alice, body)  # type: ignore[misc]
        for body in bodies
    ]
    responses = run_concurrently(calls)
    assert sorted(response.status_code for response in responses) == [201] * 3 + [422] * 9
    (task,) = alice.list_tasks()
    assert all(r.json() == task for r in responses if r.status_code == 201)


def test_bare_and_quoted_are_one_key(alice: AuthedClient) -> None:
    first = post(alice, FIELDS, "a-key")
    assert_replayed(post(alice, FIELDS, '"a-key"'), first)
    assert_replayed(post(alice, FIELDS, "a-key"), first)
    longest = "~" * 255
    second = post(alice, FIELDS, f'"{longest}"')
    assert_replayed(post(alice, FIELDS, longest), second)
    assert len(alice.list_tasks()) == 2


def test_keys_are_compared_exactly(alice: AuthedClient) -> None:
    for key in ("a", "A", "aa", "'a", "a;", "*", "%", "\\", "0", "00"):
        assert "idempotency-replayed" not in post(alice, FIELDS, key).headers
    assert len(alice.list_tasks()) == 10


def test_two_users_may_use_one_key(alice: AuthedClient, bob: AuthedClient) -> None:
    first, second = post(alice, FIELDS), post(bob, {"title": "Bob's own"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert_replayed(post(alice, FIELDS), first)
    assert_replayed(post(bob, {"title": "Bob's own"}), second)
    assert bob.list_tasks() == [second.json()]


def test_both_forms_of_the_path_share_keys(alice: AuthedClient) -> None:
    first = post(alice, FIELDS)
    headers = {"Idempotency-Key": KEY}
    response = alice.post(f"/api/{alice.id}/tasks/", json=FIELDS, headers=headers)
    assert_replayed(response, first)


@pytest.mark.parametrize(
    "key", ["", '""', "x" * 256, f'"{"x" * 256}"', "a b", 'a"b', '"a', 'a"', "é".encode()]
)
def test_a_bad_key_is_refused_by_name(key: str | bytes, alice: AuthedClient) -> None:
    headers = {b"Idempotency-Key": key if isinstance(key, bytes) else key.encode()}
    response = alice.post("/api/tasks", json=FIELDS, headers=headers)
    assert validation_errors(response).keys() == {"Idempotency-Key"}
    assert alice.list_tasks() == []


def test_a_request_that_is_refused_uses_up_no_key(alice: AuthedClient) -> None:
    assert post(alice, {"title": ""}).status_code == 400
    first = post(alice, FIELDS)
    assert first.status_code == 201
    assert post(alice, {"title": ""}).status_code == 400
    assert_replayed(post(alice, FIELDS), first)


def test_without_a_key_every_request_creates(alice: AuthedClient) -> None:
    ids = {alice.create_task("Same")["id"] for _ in range(3)}
    assert len(ids) == 3


# Keys that have expired, in the model


def age_keys(cluster: Cluster, user: str, age: str) -> None:
    cluster.execute(f"""
        UPDATE todo.idempotency_keys SET created_at = now() - interval '{age}'
            + right(key, 1)::integer * interval '1 millisecond' WHERE user_id = '{user}'""")


def keys_of(cluster: Cluster, user: str) -> list[str]:
    keys: list[str] = cluster.scalar(f"""
        SELECT coalesce(array_agg(key ORDER BY key), '{{}}')
        FROM todo.idempotency_keys WHERE user_id = '{user}'""")
    return keys


async def create(database: Database, user: str, key: str) -> StoredTask:
    return await create_task(database, user, {"title": "x"}, key=key)


@pytest.mark.anyio
async def test_expired_keys_are_deleted_two_at_a_time(
    cluster: Cluster, database: Database
) -> None:
    alice, bob = new_user_id(), new_user_id()
    for user, number in itertools.product((alice, bob), range(5)):
        await create(database, user, f"old {number}")
    for user in (alice, bob):
        age_keys(cluster, user, "24 hours 1 minute")
    await create_task(database, alice, {"title": "without a key"})
    assert len(keys_of(cluster, alice)) == 5
    await create(database, alice, "new 0")
    assert keys_of(cluster, alice) == ["new 0", "old 2", "old 3", "old 4"]
    await create(database, alice, "new 0")  # a retry cleans up, too
    assert keys_of(cluster, alice) == ["new 0", "old 4"]
    await create(database, alice, "new 1")
    await create(database, alice, "new 2")
    assert keys_of(cluster, alice) == ["new 0", "new 1", "new 2"]
    assert len(keys_of(cluster, bob)) == 5


@pytest.mark.anyio
async def test_a_key_younger_than_24_hours_is_never_deleted(
    cluster: Cluster, database: Database
) -> None:
    alice = new_user_id()
    first = await create(database, alice, "young 0")
    await create(database, alice, "young 1")
    age_keys(cluster, alice, "23 hours 59 minutes")
    for number in range(6):
        await create(database, alice, f"new {number}")
    assert len(keys_of(cluster, alice)) == 8
    assert await create(database, alice, "young 0") == first._replace(replayed=True)


@pytest.mark.anyio
async def test_a_retry_with_an_expired_key_is_replayed_until_the_key_is_gone(
    cluster: Cluster, database: Database
) -> None:
    alice = new_user_id()
    first = await create(database, alice, "old 0")
    age_keys(cluster, alice, "25 hours")
    assert await create(database, alice, "old 0") == first._replace(replayed=True)
    with pytest.raises(KeyReused):
        await create_task(database, alice, {"title": "y"}, key="old 0")
    await create(database, alice, "new 0")
    again = await create(database, alice, "old 0")
    assert not again.replayed
    assert again.id != first.id
