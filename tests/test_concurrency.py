"""Many clients at the same time: no flip, no field, no task and no answer is lost."""

import asyncio
from collections import Counter
from functools import partial
from itertools import chain

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id, token
from harness.concurrency import run_concurrently
from harness.contract import check_response
from harness.service import Service

CLIENTS = 100
ROUNDS = 8


def url_of(client: AuthedClient, title: str = "Water the plants") -> str:
    """Create a task and return its address."""
    return f"/api/tasks/{client.create_task(title)['id']}"


@pytest.mark.parametrize(("devices", "flips"), [(2, 25), (8, 9), (15, 1)])
def test_no_toggle_is_lost_between_devices(
    alice: AuthedClient, devices: int, flips: int
) -> None:
    url = url_of(alice)

    def device() -> list[httpx.Response]:
        return [alice.patch(f"{url}/complete") for _ in range(flips)]

    answers = list(chain.from_iterable(run_concurrently([device] * devices)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == devices * flips
    to_done = sum(answer.json()["completed"] for answer in answers)
    assert to_done == (devices * flips + 1) // 2
    assert alice.get(url).json()["completed"] == bool(devices * flips % 2)


def test_setting_completed_from_many_devices_agrees(alice: AuthedClient) -> None:
    url = url_of(alice)
    sets = partial(alice.patch, f"{url}/complete", json={"completed": True})
    assert all(answer.json()["completed"] for answer in run_concurrently([sets] * 10))
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
        assert {answer.status_code for answer in run_concurrently(sends)} == {200}
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
        answers = run_concurrently(writers)
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 9}
        (winner,) = (answer for answer in answers if answer.is_success)
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
            answer.status_code for answer in run_concurrently([update] * 3 + [delete])
        )
        if deleted == 204:
            assert set(updates) <= {404, 412}
            assert alice.get(url).status_code == 404
        else:
            assert deleted == 412
            assert sorted(updates) == [200, 412, 412]
            assert alice.get(url).json()["title"] == "x"


def test_updates_against_deletes_end_with_the_task_gone(alice: AuthedClient) -> None:
    kept = alice.create_task("Another")
    for _ in range(ROUNDS):
        url = url_of(alice)
        update = partial(alice.put, url, json={"title": "x"})
        flip = partial(alice.patch, f"{url}/complete")
        delete = partial(alice.delete, url)
        answers = run_concurrently(
            [update, delete, flip, partial(alice.get, url), delete, update]
        )
        statuses = [answer.status_code for answer in answers]
        deletes = (statuses.pop(4), statuses.pop(1))
        assert sorted(deletes) == [204, 404]
        assert set(statuses) <= {200, 404}
        assert alice.get(url).status_code == 404
        assert alice.list_tasks() == [kept]


def test_concurrent_first_writes_of_a_new_user_are_all_stored(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    for newcomer in (alice, bob):
        forms = ("/api/tasks", f"/api/{newcomer.id}/tasks")
        writes = [
            partial(newcomer.post, forms[n % 2], json={"title": f"{n:02}"}) for n in range(20)
        ]
        answers = run_concurrently(writes)
        assert [answer.status_code for answer in answers] == [201] * 20
        assert len({answer.json()["id"] for answer in answers}) == 20
        assert newcomer.list_titles(sort="title") == [f"{n:02}" for n in range(20)]


def test_a_list_and_its_total_agree_during_concurrent_writes(alice: AuthedClient) -> None:
    """A page and its total are of one moment, however much happens."""

    def writes() -> None:
        for _ in range(10):
            alice.delete(url_of(alice))

    def reads() -> None:
        for _ in range(20):
            answer = alice.get("/api/tasks")
            assert answer.headers["x-total-count"] == str(len(answer.json()))

    run_concurrently([writes, writes, reads, reads])
    assert alice.list_tasks() == []


def test_a_hundred_concurrent_clients_get_correct_responses(service: Service) -> None:
    asyncio.run(everybody(service.url))


async def everybody(url: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(a_day(url))


async def a_day(service_url: str) -> None:
    """Do everything that one does with tasks, as one client among many."""
    me = new_user_id()

    async def checked(response: httpx.Response) -> None:
        await response.aread()
        check_response(response)

    async def ask(method: str, path: str, expected: int, json: object = None) -> httpx.Response:
        answer = await http.request(method, path, json=json)
        assert answer.status_code == expected, answer.text
        return answer

    async with httpx.AsyncClient(
        base_url=service_url,
        headers={"Authorization": f"Bearer {token(me)}"},
        event_hooks={"response": [checked]},
        # The service hangs up on who is silent for five seconds; be gone before that.
        limits=httpx.Limits(keepalive_expiry=1),
        timeout=30,
        verify=False,
    ) as http:
        first, second = [
            (await ask("POST", "/api/tasks", 201, {"title": f"{title} of {me}"})).json()
            for title in ("First", "Second")
        ]
        url = f"/api/tasks/{first['id']}"
        assert (await ask("GET", url, 200)).json() == first
        await ask("PUT", url, 200, {"priority": "low", "due_date": "2031-05-06T07:08:09Z"})
        await ask("PATCH", f"{url}/complete", 200)
        scoped = f"/api/{me}/tasks"
        changed = (await ask("PATCH", f"{scoped}/{first['id']}", 200, {"title": me})).json()
        assert (changed["title"], changed["priority"]) == (me, "low")
        assert changed["completed"] is True
        assert (await ask("GET", "/api/tasks", 200)).json() == [second, changed]
        assert (await ask("GET", "/api/tasks?status=pending", 200)).json() == [second]
        await ask("DELETE", f"/api/tasks/{second['id']}", 204)
        await ask("GET", f"/api/tasks/{second['id']}", 404)
        assert (await ask("GET", f"{scoped}?sort=title", 200)).json() == [changed]
