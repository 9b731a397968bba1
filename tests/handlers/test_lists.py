"""Lists of tasks, held against a model in Python: what is on them, in order, page by page."""

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

# Case, length, punctuation, scripts, and pairs that a language's own order would swap.
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


def matching(tasks: Iterable[Task], status: str) -> list[Task]:
    wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
    return [task for task in tasks if task["completed"] in wanted]


def in_order(tasks: Iterable[Task], sort: str) -> list[Task]:
    """Sort as the contract says; ids have a fixed form, so their text sorts as they do."""
    if sort == "created":
        return sorted(tasks, key=lambda task: (task["created_at"], task["id"]), reverse=True)
    if sort == "title":
        return sorted(tasks, key=lambda task: (task["title"].lower(), task["id"]))
    return sorted(
        tasks, key=lambda task: (task["due_date"] is None, task["due_date"], task["id"])
    )


class Crowd:
    """Somebody with many tasks, whom no test changes."""

    def __init__(self, client: AuthedClient) -> None:
        """Create tasks of all kinds, in no order."""
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

    def list(self, status: str, sort: str) -> list[Task]:
        """Say what the list must be."""
        return in_order(matching(self.tasks, status), sort)


@pytest.fixture(scope="module")
def crowd(service: Service) -> Iterator[Crowd]:
    with AuthedClient(service.url, new_user_id()) as client:
        yield Crowd(client)


each_status = pytest.mark.parametrize("status", STATUSES)
each_sort = pytest.mark.parametrize("sort", SORTS)


def test_a_person_never_seen_before_has_an_empty_list(alice: AuthedClient) -> None:
    answer = alice.get("/api/tasks")
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["x-total-count"] == "0"
    assert "link" not in answer.headers


@each_status
@each_sort
def test_every_filter_with_every_sort_is_exact(crowd: Crowd, status: str, sort: str) -> None:
    answer = crowd.client.get("/api/tasks", params={"status": status, "sort": sort})
    assert answer.json() == crowd.list(status, sort)
    assert answer.headers["x-total-count"] == str(len(answer.json()))
    assert "link" not in answer.headers


def test_without_parameters_all_tasks_come_newest_first(crowd: Crowd) -> None:
    assert crowd.client.list_tasks() == list(reversed(crowd.tasks))


def test_the_user_scoped_form_lists_the_same(crowd: Crowd) -> None:
    for status, sort in product(STATUSES, SORTS):
        answer = crowd.client.get(
            f"/api/{crowd.client.id}/tasks", params={"status": status, "sort": sort}
        )
        assert answer.json() == crowd.list(status, sort)


@each_status
@each_sort
def test_any_page_is_a_slice_of_the_list(crowd: Crowd, status: str, sort: str) -> None:
    expected = crowd.list(status, sort)
    size = len(expected)
    sizes = (1, 2, size - 1, size, size + 1, 10_000)
    for limit, offset in product(sizes, (0, *sizes, 2**31 - 1)):
        answer = crowd.client.get(
            "/api/tasks",
            params={"status": status, "sort": sort, "limit": limit, "offset": offset},
        )
        assert answer.json() == expected[offset : offset + limit], (limit, offset)
        assert answer.headers["x-total-count"] == str(size), (limit, offset)


def follow(client: AuthedClient, answer: httpx.Response, rel: str) -> list[httpx.Response]:
    """Go from page to page for as long as there is such a link."""
    pages = [answer]
    while rel in pages[-1].links:
        pages.append(client.get(pages[-1].links[rel]["url"]))
        assert len(pages) < 1000
    return pages


@each_status
@each_sort
@pytest.mark.parametrize("limit", [7, 13])
def test_following_next_visits_every_task_once(
    crowd: Crowd, status: str, sort: str, limit: int
) -> None:
    query: dict[str, Any] = {"status": status, "sort": sort, "limit": limit}
    pages = follow(crowd.client, crowd.client.get("/api/tasks", params=query), "next")
    assert [task for page in pages for task in page.json()] == crowd.list(status, sort)
    assert all(len(page.json()) == limit for page in pages[:-1])
    backwards = follow(crowd.client, pages[-1], "prev")
    assert [page.json() for page in reversed(backwards)] == [page.json() for page in pages]
    for page in pages:
        first, last = (crowd.client.get(page.links[rel]["url"]) for rel in ("first", "last"))
        assert (first.json(), last.json()) == (pages[0].json(), pages[-1].json())


def relations(answer: httpx.Response) -> set[str]:
    return {str(rel) for rel in answer.links}


def test_a_page_links_only_to_pages_that_there_are(crowd: Crowd) -> None:
    size = len(crowd.tasks)

    def linked(limit: int, offset: int) -> set[str]:
        query = {"limit": limit, "offset": offset}
        return relations(crowd.client.get("/api/tasks", params=query))

    assert linked(size, 0) == set()
    assert linked(size + 1, 0) == set()
    assert linked(size - 1, 0) == LINKS - {"prev"}
    assert linked(10, 10) == LINKS
    assert linked(10, size - 10) == LINKS - {"next"}
    assert linked(10, size - 11) == LINKS
    assert linked(10, size) == LINKS - {"next"}
    assert linked(10, 2**31 - 1) == LINKS - {"next"}


def test_from_past_the_end_prev_leads_back_to_the_last_page(crowd: Crowd) -> None:
    answer = crowd.client.get("/api/tasks", params={"limit": 10, "offset": 5000})
    assert answer.json() == []
    assert answer.headers["x-total-count"] == str(len(crowd.tasks))
    previous = crowd.client.get(answer.links["prev"]["url"])
    assert previous.json()
    assert previous.json()[-1] == crowd.list("all", "created")[-1]


def test_an_empty_list_past_its_end_is_still_empty(alice: AuthedClient) -> None:
    answer = alice.get("/api/tasks", params={"offset": 10})
    assert (answer.json(), answer.headers["x-total-count"]) == ([], "0")


def test_a_list_shows_nobody_elses_tasks(crowd: Crowd, bob: AuthedClient) -> None:
    own = bob.create_task("apple")
    for status, sort in product(("all", "pending"), SORTS):
        answer = bob.get("/api/tasks", params={"status": status, "sort": sort})
        assert answer.json() == [own]
        assert answer.headers["x-total-count"] == "1"
    assert bob.list_tasks(status="completed") == []
    assert crowd.client.list_tasks() == list(reversed(crowd.tasks))


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
