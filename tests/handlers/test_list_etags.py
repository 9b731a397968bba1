"""Entity tags of lists: a 304 only if nothing has changed, and then no list is read."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.responses import Response

import handlers
from harness.clients import AuthedClient, new_user_id, token
from harness.cluster import Cluster, open_database
from harness.service import NO_TLS, Service
from models.queries import REPRESENTATION_VERSION
from models.tasks import create_task

Task = dict[str, Any]
Write = Callable[[AuthedClient, Task], httpx.Response]

LIST = f"l{REPRESENTATION_VERSION}"
"""What the tag of a list begins with."""

QUERIES = (
    "",
    "?status=completed",
    "?sort=title&limit=2",
    "?search=plants&order=asc",
    "?tag=none-has-it",
    "?offset=5000",
)
WRITES: dict[str, Write] = {
    "create": lambda client, _: client.post("/api/tasks", json={"title": "New"}),
    "create with a key": lambda client, _: client.post(
        "/api/tasks", json={"title": "New"}, headers={"Idempotency-Key": "k"}
    ),
    "update": lambda client, task: client.put(
        f"/api/tasks/{task['id']}", json={"description": "x"}
    ),
    "update with the same values": lambda client, task: client.patch(
        f"/api/tasks/{task['id']}", json={"title": task["title"]}
    ),
    "toggle": lambda client, task: client.patch(f"/api/tasks/{task['id']}/complete"),
    "set completed": lambda client, task: client.patch(
        f"/api/tasks/{task['id']}/complete", json={"completed": True}
    ),
    "delete": lambda client, task: client.delete(f"/api/tasks/{task['id']}"),
    "clear": lambda client, _: client.delete("/api/tasks", params={"status": "completed"}),
}

STATEMENT_NAMES = re.compile("the statement ([a-z_]+) took")
ALL_TASKS: dict[str, Any] = {
    **dict.fromkeys(("completed", "priority", "tag", "search", "due_after", "due_before")),
    "status": "all",
    "sort": "created",
    "order": None,
    "limit": 100,
    "offset": 0,
    "cursor": None,
}
"""The arguments of a plain list."""


def revalidate(
    client: AuthedClient, tag: str, path: str = "/api/tasks", **params: Any
) -> httpx.Response:
    return client.get(path, params=params or None, headers={"If-None-Match": tag})


def etag_of(client: AuthedClient, path: str = "/api/tasks") -> str:
    tag: str = client.get(path).headers["etag"]
    return tag


def test_a_third_task_beyond_the_page_changes_the_tag(alice: AuthedClient) -> None:
    alice.create_task("a")
    alice.create_task("b")
    query: dict[str, Any] = {"sort": "title", "limit": 2}
    first = alice.get("/api/tasks", params=query)
    assert first.headers["x-total-count"] == "2"
    assert "link" not in first.headers
    alice.create_task("z")
    second = revalidate(alice, first.headers["etag"], **query)
    assert second.status_code == 200
    assert second.json() == first.json()
    assert second.headers["x-total-count"] == "3"
    assert "next" in second.links


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_write_changes_the_tag_of_every_list(write: Write, alice: AuthedClient) -> None:
    alice.create_task("Done", completed=True)
    task = alice.create_task()
    before = {query: alice.get(f"/api/tasks{query}") for query in QUERIES}
    for query, response in before.items():
        again = revalidate(alice, response.headers["etag"], f"/api/tasks{query}")
        assert (again.status_code, again.content) == (304, b"")
    assert write(alice, task).is_success
    for query, response in before.items():
        again = revalidate(alice, response.headers["etag"], f"/api/tasks{query}")
        assert again.status_code == 200, query
        assert again.headers["etag"] != response.headers["etag"]


def test_a_write_that_changes_nothing_leaves_the_tag(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    task = alice.create_task()
    tag = etag_of(alice)
    path = f"/api/tasks/{task['id']}"
    missing = "/api/tasks/7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"
    assert alice.patch(missing, json={"title": "x"}).status_code == 404
    assert alice.delete(missing).status_code == 404
    assert alice.put(path, json={"title": ""}).status_code == 400
    assert alice.delete(path, headers={"If-Match": '"1"'}).status_code == 412
    assert alice.delete("/api/tasks", params={"status": "completed"}).status_code == 204
    assert bob.delete(path).status_code == 403
    bob.create_task()
    assert revalidate(alice, tag).status_code == 304


def test_a_304_has_the_headers_for_caching(alice: AuthedClient) -> None:
    alice.create_task()
    full = alice.get("/api/tasks")
    response = revalidate(alice, full.headers["etag"])
    assert response.status_code == 304
    for name in ("etag", "cache-control", "vary"):
        assert response.headers[name] == full.headers[name]
    assert full.headers["cache-control"] == "private, no-cache"
    varies = {name.strip().lower() for name in full.headers["vary"].split(",")}
    assert varies == {"authorization", "accept-encoding", "origin"}


def test_a_new_user_has_a_tag_that_the_first_task_changes(alice: AuthedClient) -> None:
    tag = etag_of(alice)
    assert revalidate(alice, tag).status_code == 304
    alice.create_task()
    assert revalidate(alice, tag).status_code == 200


def test_every_form_of_if_none_match(alice: AuthedClient) -> None:
    task = alice.create_task()
    tag = etag_of(alice)
    task_tag = etag_of(alice, f"/api/tasks/{task['id']}")
    for value in ("*", tag, f"W/{tag}", f'"x", {tag}', f'W/{tag}, "y"', f"{tag},{tag}"):
        assert revalidate(alice, value).status_code == 304, value
    for value in (
        "0",
        tag.strip('"'),
        '"x"',
        f'"{LIST}-1"',
        f'"{LIST}-0"',
        f'"{LIST}-"',
        f'"{LIST}--1"',
        f'"{LIST}-99999999999999999999999999"',
        tag.replace(LIST, f"l{REPRESENTATION_VERSION - 1}"),
        tag.upper(),
        task_tag,
        f"W/{task_tag}, {task_tag}",
        "",
    ):
        response = revalidate(alice, value)
        assert (response.status_code, response.json()) == (200, [task]), value


def test_several_header_fields_are_one_list(service: Service, alice: AuthedClient) -> None:
    alice.create_task()
    headers = [
        ("Authorization", f"Bearer {token(alice.id)}"),
        ("If-None-Match", '"x"'),
        ("If-None-Match", etag_of(alice)),
    ]
    response = httpx.get(f"{service.url}/api/tasks", headers=headers, verify=NO_TLS)
    assert response.status_code == 304


def test_the_tag_of_a_list_never_matches_a_task(alice: AuthedClient) -> None:
    """The revision in both is the same: the task was the last write."""
    task = alice.create_task()
    path = f"/api/tasks/{task['id']}"
    tag = etag_of(alice)
    assert tag != etag_of(alice, path)
    assert revalidate(alice, tag, path).status_code == 200
    assert alice.delete(path, headers={"If-Match": tag}).status_code == 412


def test_the_tag_of_another_user_does_not_match(alice: AuthedClient, bob: AuthedClient) -> None:
    task = alice.create_task()
    bob.create_task()
    response = revalidate(alice, etag_of(bob))
    assert (response.status_code, response.json()) == (200, [task])


def test_both_forms_of_the_path_have_the_same_tag(alice: AuthedClient) -> None:
    alice.create_task()
    tag = etag_of(alice)
    assert revalidate(alice, tag, f"/api/{alice.id}/tasks/").status_code == 304


def test_a_client_that_revalidates_always_has_the_current_list(alice: AuthedClient) -> None:
    """As a browser's cache does it: a 304 keeps the body and the headers."""
    cached = alice.get("/api/tasks", params={"limit": 2})
    statuses = []
    for name, write in WRITES.items():
        task = alice.create_task(name)
        assert write(alice, task).is_success
        for _ in range(2):
            tag = cached.headers["etag"]
            response = revalidate(alice, tag, limit=2)
            statuses.append(response.status_code)
            cached = cached if response.status_code == 304 else response
            fresh = alice.get("/api/tasks", params={"limit": 2})
            assert cached.json() == fresh.json()
            for header in ("x-total-count", "link"):
                assert cached.headers.get(header) == fresh.headers.get(header)
    assert statuses == [200, 304] * len(WRITES)


# What PostgreSQL does for a 304


@pytest.mark.anyio
async def test_a_304_reads_only_the_revision(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A list that has changed is read after that: the revision costs a third of a 304."""
    user = new_user_id()

    async def list_tasks(if_none_match: str | None) -> tuple[Response, list[str]]:
        """Return the response, and the names of the statements that it took."""
        caplog.clear()
        given = ALL_TASKS | {"if_none_match": if_none_match}
        response = await handlers.list_tasks(database, user, **given)
        return response, STATEMENT_NAMES.findall(caplog.text)

    async with open_database(cluster.app, slow_statement=0) as database:
        await create_task(database, user, {"title": "x"})
        fresh, statements = await list_tasks(None)
        tag = fresh.headers["etag"]
        assert (fresh.status_code, statements) == (200, ["list_all_by_created"])
        for condition in (tag, f'"x", W/{tag}', "*"):
            response, statements = await list_tasks(condition)
            assert (response.status_code, statements) == (304, ["revision"]), condition
        await create_task(database, user, {"title": "y"})
        response, statements = await list_tasks(tag)
        assert (response.status_code, statements) == (200, ["revision", "list_all_by_created"])
