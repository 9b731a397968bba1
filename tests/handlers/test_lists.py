"""Lists of tasks compared with a model in Python: content, order and pagination."""

import random
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.service import Service

Task = dict[str, Any]

STATUSES = ("all", "pending", "completed")
SORTS = ("created", "title", "due_date")
LINKS = {"first", "prev", "next", "last"}

# Case, length, punctuation, scripts, and pairs that a locale's collation would swap.
TITLES = """\
apple|Apple|APPLE|apple | apple|apple pie|apple-pie|Äpfel|äpfel|Zebra|zebra|_zebra|[zebra|{zebra
10 zebras|9 zebras|-1|résumé|resume|resumÉ|Straße|STRASSE|ñandú|nube|Ωmega|ωmega|Жук|жук|яблоко
漢字|かな|😀|א|'|"|\\|%|~|\uffee|\U0001d518|\U0010ffff""".replace("\n", "|").split("|")
DUE_DATES = (
    "2026-12-01T18:00:00Z",
    "2026-12-01T18:00:00+01:00",
    "2026-12-01T17:00:00.000001Z",
    "2026-12-01T17:00:00-05:00",
    "1000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    None,
    None,
)


def filtered(tasks: Iterable[Task], status: str) -> list[Task]:
    wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
    return [task for task in tasks if task["completed"] in wanted]


def sorted_by(tasks: Iterable[Task], sort: str) -> list[Task]:
    """Sort as the contract says; UUIDs sort like their text, which has a fixed format."""
    if sort == "created":
        return sorted(tasks, key=lambda task: (task["created_at"], task["id"]), reverse=True)
    if sort == "title":
        return sorted(tasks, key=lambda task: (task["title"].lower(), task["id"]))
    return sorted(
        tasks, key=lambda task: (task["due_date"] is None, task["due_date"], task["id"])
    )


class Collection:
    """A user with many tasks, which no test changes."""

    def __init__(self, client: AuthedClient) -> None:
        """Create varied tasks in random order."""
        self.client = client
        titles = [*TITLES, *random.choices(TITLES, k=20)]
        random.shuffle(titles)
        self.tasks = [
            client.create_task(
                title,
                due_date=random.choice(DUE_DATES),
                completed=random.random() < 0.4,
                priority=random.choice(["low", "medium", "high", None]),
            )
            for title in titles
        ]

    def expected(self, status: str, sort: str) -> list[Task]:
        """Return the list that the service must return."""
        return sorted_by(filtered(self.tasks, status), sort)


@pytest.fixture(scope="module")
def collection(service: Service) -> Iterator[Collection]:
    with AuthedClient(service.url, new_user_id()) as client:
        yield Collection(client)


every_status = pytest.mark.parametrize("status", STATUSES)
every_sort = pytest.mark.parametrize("sort", SORTS)


def test_a_new_user_has_an_empty_list(alice: AuthedClient) -> None:
    response = alice.get("/api/tasks")
    assert (response.status_code, response.json()) == (200, [])
    assert response.headers["x-total-count"] == "0"
    assert "link" not in response.headers


@every_status
@every_sort
def test_every_filter_with_every_sort_is_exact(
    collection: Collection, status: str, sort: str
) -> None:
    response = collection.client.get("/api/tasks", params={"status": status, "sort": sort})
    assert response.json() == collection.expected(status, sort)
    assert response.headers["x-total-count"] == str(len(response.json()))
    assert "link" not in response.headers


def test_without_parameters_all_tasks_are_listed_newest_first(collection: Collection) -> None:
    assert collection.client.list_tasks() == list(reversed(collection.tasks))


def test_the_user_scoped_form_lists_the_same(collection: Collection) -> None:
    for status, sort in product(STATUSES, SORTS):
        response = collection.client.get(
            f"/api/{collection.client.id}/tasks", params={"status": status, "sort": sort}
        )
        assert response.json() == collection.expected(status, sort)


@every_status
@every_sort
def test_any_page_is_a_slice_of_the_list(
    collection: Collection, status: str, sort: str
) -> None:
    expected = collection.expected(status, sort)
    size = len(expected)
    sizes = (1, 2, size - 1, size, size + 1, 10_000)
    for limit, offset in product(sizes, (0, *sizes, 2**31 - 1)):
        response = collection.client.get(
            "/api/tasks",
            params={"status": status, "sort": sort, "limit": limit, "offset": offset},
        )
        assert response.json() == expected[offset : offset + limit], (limit, offset)
        assert response.headers["x-total-count"] == str(size), (limit, offset)


def follow(client: AuthedClient, response: httpx.Response, rel: str) -> list[httpx.Response]:
    """Follow the links of this relation from page to page until there is none."""
    pages = [response]
    while rel in pages[-1].links:
        pages.append(client.get(pages[-1].links[rel]["url"]))
        assert len(pages) < 1000
    return pages


@every_status
@every_sort
@pytest.mark.parametrize("limit", [7, 13])
def test_following_next_visits_every_task_once(
    collection: Collection, status: str, sort: str, limit: int
) -> None:
    query: dict[str, Any] = {"status": status, "sort": sort, "limit": limit}
    pages = follow(collection.client, collection.client.get("/api/tasks", params=query), "next")
    assert [task for page in pages for task in page.json()] == collection.expected(status, sort)
    assert all(len(page.json()) == limit for page in pages[:-1])
    backwards = follow(collection.client, pages[-1], "prev")
    assert [page.json() for page in reversed(backwards)] == [page.json() for page in pages]
    for page in pages:
        first, last = (
            collection.client.get(page.links[rel]["url"]) for rel in ("first", "last")
        )
        assert (first.json(), last.json()) == (pages[0].json(), pages[-1].json())


def relations(response: httpx.Response) -> set[str]:
    return {str(rel) for rel in response.links}


def test_a_page_links_only_to_existing_pages(collection: Collection) -> None:
    size = len(collection.tasks)

    def linked(limit: int, offset: int) -> set[str]:
        query = {"limit": limit, "offset": offset}
        return relations(collection.client.get("/api/tasks", params=query))

    assert linked(size, 0) == set()
    assert linked(size + 1, 0) == set()
    assert linked(size - 1, 0) == LINKS - {"prev"}
    assert linked(10, 10) == LINKS
    assert linked(10, size - 10) == LINKS - {"next"}
    assert linked(10, size - 11) == LINKS
    assert linked(10, size) == LINKS - {"next"}
    assert linked(10, 2**31 - 1) == LINKS - {"next"}


def test_past_the_end_prev_links_to_the_last_page(collection: Collection) -> None:
    response = collection.client.get("/api/tasks", params={"limit": 10, "offset": 5000})
    assert response.json() == []
    assert response.headers["x-total-count"] == str(len(collection.tasks))
    previous = collection.client.get(response.links["prev"]["url"])
    assert previous.json()
    assert previous.json()[-1] == collection.expected("all", "created")[-1]


def test_an_empty_list_past_its_end_is_still_empty(alice: AuthedClient) -> None:
    response = alice.get("/api/tasks", params={"offset": 10})
    assert (response.json(), response.headers["x-total-count"]) == ([], "0")


def test_a_list_contains_no_tasks_of_other_users(
    collection: Collection, bob: AuthedClient
) -> None:
    own = bob.create_task("apple")
    for status, sort in product(("all", "pending"), SORTS):
        response = bob.get("/api/tasks", params={"status": status, "sort": sort})
        assert response.json() == [own]
        assert response.headers["x-total-count"] == "1"
    assert bob.list_tasks(status="completed") == []
    assert collection.client.list_tasks() == list(reversed(collection.tasks))


def test_a_task_moves_between_lists_and_within_them_as_it_changes(alice: AuthedClient) -> None:
    moving = alice.create_task("a")
    staying = alice.create_task("m", due_date="2026-12-01T00:00:00Z")

    def change(task: Task, **fields: Any) -> None:
        assert alice.patch(f"/api/tasks/{task['id']}", json=fields).status_code == 200

    assert alice.list_titles(sort="title") == ["a", "m"]
    assert alice.list_titles(sort="due_date") == ["m", "a"]
    assert alice.list_titles(sort="created") == ["m", "a"]
    change(moving, title="Z", due_date="2026-11-30T23:59:59.999999Z", completed=True)
    change(staying, description="which makes it no younger")
    assert alice.list_titles(sort="title") == ["m", "Z"]
    assert alice.list_titles(sort="due_date") == ["Z", "m"]
    assert alice.list_titles(sort="created") == ["m", "Z"]
    assert alice.list_titles(status="pending") == ["m"]
    assert alice.list_titles(status="completed") == ["Z"]
