"""Concurrent clients: no toggle, field, task or response is lost."""

import asyncio
from collections import Counter
from functools import partial
from itertools import chain

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id, token
from harness.concurrency import run_concurrently
from harness.contract import check_response
from harness.service import NO_TLS, Service

CLIENTS = 100
ROUNDS = 8


def url_of(client: AuthedClient, title: str = "Water the plants") -> str:
    """Create a task and return its URL."""
    return f"/api/tasks/{client.create_task(title)['id']}"


@pytest.mark.parametrize(("devices", "toggles"), [(2, 25), (8, 9), (15, 1)])
def test_no_toggle_is_lost_between_devices(
    alice: AuthedClient, devices: int, toggles: int
) -> None:
    url = url_of(alice)

    def device() -> list[httpx.Response]:
        return [alice.patch(f"{url}/complete") for _ in range(toggles)]

    responses = list(chain.from_iterable(run_concurrently([device] * devices)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.headers["etag"] for response in responses}) == devices * toggles
    to_done = sum(response.json()["completed"] for response in responses)
    assert to_done == (devices * toggles + 1) // 2
    assert alice.get(url).json()["completed"] == bool(devices * toggles % 2)


def test_setting_completed_from_many_devices_agrees(alice: AuthedClient) -> None:
    url = url_of(alice)
    sets = partial(alice.patch, f"{url}/complete", json={"completed": True})
    assert all(response.json()["completed"] for response in run_concurrently([sets] * 10))
    assert alice.get(url).json()["completed"] is True


def test_devices_that_change_different_fields_lose_nothing(alice: AuthedClient) -> None:
    changes = {
        "title": "Water all the plants",
        "description": "The fern, too",
        "priority": "high",
        "due_date": "2031-05-06T07:08:09.000000Z",
        "completed": True,
    }
    for _ in range(ROUNDS):
        url = url_of(alice)
        sends = [partial(alice.patch, url, json={name: changes[name]}) for name in changes]
        assert {response.status_code for response in run_concurrently(sends)} == {200}
        task = alice.get(url).json()
        assert {name: task[name] for name in changes} == changes


def test_of_many_writers_with_the_same_etag_one_wins(alice: AuthedClient) -> None:
    for _ in range(ROUNDS):
        url = url_of(alice)
        known = {"If-Match": alice.get(url).headers["etag"]}
        writers = [
            *(partial(alice.put, url, json={"title": f"{n}"}, headers=known) for n in range(4)),
            *(partial(alice.patch, url, json={"title": "x"}, headers=known) for _ in range(3)),
            *(partial(alice.patch, f"{url}/complete", headers=known) for _ in range(3)),
        ]
        responses = run_concurrently(writers)
        assert Counter(response.status_code for response in responses) == {200: 1, 412: 9}
        (winner,) = (response for response in responses if response.is_success)
        now = alice.get(url)
        assert now.json() == winner.json()
        assert now.headers["etag"] == winner.headers["etag"]


def test_of_writers_and_a_deleter_with_the_same_etag_one_wins(alice: AuthedClient) -> None:
    for _ in range(ROUNDS):
        url = url_of(alice)
        known = {"If-Match": alice.get(url).headers["etag"]}
        update = partial(alice.put, url, json={"title": "x"}, headers=known)
        delete = partial(alice.delete, url, headers=known)
        *updates, deleted = (
            response.status_code for response in run_concurrently([update] * 3 + [delete])
        )
        if deleted == 204:
            assert set(updates) <= {404, 412}
            assert alice.get(url).status_code == 404
        else:
            assert deleted == 412
            assert sorted(updates) == [200, 412, 412]
            assert alice.get(url).json()["title"] == "x"


def test_updates_against_deletes_end_with_the_task_gone(alice: AuthedClient) -> None:
    other = alice.create_task("Another")
    for _ in range(ROUNDS):
        url = url_of(alice)
        update = partial(alice.put, url, json={"title": "x"})
        toggle = partial(alice.patch, f"{url}/complete")
        delete = partial(alice.delete, url)
        responses = run_concurrently(
            [update, delete, toggle, partial(alice.get, url), delete, update]
        )
        statuses = [response.status_code for response in responses]
        deletes = (statuses.pop(4), statuses.pop(1))
        assert sorted(deletes) == [204, 404]
        assert set(statuses) <= {200, 404}
        assert alice.get(url).status_code == 404
        assert alice.list_tasks() == [other]


def test_concurrent_first_writes_of_a_new_user_are_all_stored(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    for client in (alice, bob):
        forms = ("/api/tasks", f"/api/{client.id}/tasks")
        writes = [
            partial(client.post, forms[n % 2], json={"title": f"{n:02}"}) for n in range(20)
        ]
        responses = run_concurrently(writes)
        assert [response.status_code for response in responses] == [201] * 20
        assert len({response.json()["id"] for response in responses}) == 20
        assert client.list_titles(sort="title") == [f"{n:02}" for n in range(20)]


def test_a_list_and_its_total_agree_during_concurrent_writes(alice: AuthedClient) -> None:
    """A page and its total are read from the same snapshot."""

    def writes() -> None:
        for _ in range(10):
            alice.delete(url_of(alice))

    def reads() -> None:
        for _ in range(20):
            response = alice.get("/api/tasks")
            assert response.headers["x-total-count"] == str(len(response.json()))

    run_concurrently([writes, writes, reads, reads])
    assert alice.list_tasks() == []


def test_a_hundred_concurrent_clients_get_correct_responses(service: Service) -> None:
    asyncio.run(run_clients(service.url))


async def run_clients(url: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(use_every_operation(url))


async def use_every_operation(service_url: str) -> None:
    """Run every operation as a new user."""
    user_id = new_user_id()

    async def checked(response: httpx.Response) -> None:
        await response.aread()
        check_response(response)

    async def send(
        method: str, path: str, expected: int, json: object = None
    ) -> httpx.Response:
        response = await http.request(method, path, json=json)
        assert response.status_code == expected, response.text
        return response

    async with httpx.AsyncClient(
        base_url=service_url,
        headers={"Authorization": f"Bearer {token(user_id)}"},
        event_hooks={"response": [checked]},
        # The service closes connections that are idle for five seconds; close them earlier.
        limits=httpx.Limits(keepalive_expiry=1),
        timeout=30,
        verify=NO_TLS,
    ) as http:
        first, second = [
            (await send("POST", "/api/tasks", 201, {"title": f"{title} of {user_id}"})).json()
            for title in ("First", "Second")
        ]
        url = f"/api/tasks/{first['id']}"
        assert (await send("GET", url, 200)).json() == first
        await send("PUT", url, 200, {"priority": "low", "due_date": "2031-05-06T07:08:09Z"})
        await send("PATCH", f"{url}/complete", 200)
        scoped = f"/api/{user_id}/tasks"
        changed = (
            await send("PATCH", f"{scoped}/{first['id']}", 200, {"title": user_id})
        ).json()
        assert (changed["title"], changed["priority"]) == (user_id, "low")
        assert changed["completed"] is True
        assert (await send("GET", "/api/tasks", 200)).json() == [second, changed]
        assert (await send("GET", "/api/tasks?status=pending", 200)).json() == [second]
        await send("DELETE", f"/api/tasks/{second['id']}", 204)
        await send("GET", f"/api/tasks/{second['id']}", 404)
        assert (await send("GET", f"{scoped}?sort=title", 200)).json() == [changed]
