"""Cursors: pages while tasks change, and cursors that this service did not make."""

import random
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from handlers.api.pagination import MAX_LINK_HEADER
from harness.clients import AuthedClient
from harness.problems import validation_errors

Task = dict[str, Any]

ID = "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90"
SORTS = ("created", "title", "due_date", "priority", "updated")
VALUES = {
    "created": "2026-12-01T00:00:00.000000Z",
    "title": "x",
    "due_date": "2026-12-01T00:00:00.000000Z",
    "priority": "low",
    "updated": "2026-12-01T00:00:00.000000Z",
}

every_sort = pytest.mark.parametrize("sort", SORTS)
every_order = pytest.mark.parametrize("order", ["asc", "desc"])


def encoded(content: object) -> str:
    """Encode a cursor as the service does."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return urlsafe_b64encode(body).rstrip(b"=").decode()


def next_cursor(response: httpx.Response) -> str:
    (cursor,) = parse_qs(urlsplit(response.links["next"]["url"]).query)["cursor"]
    return cursor


def create_varied(alice: AuthedClient, rng: random.Random, count: int) -> list[Task]:
    """Create tasks with ties and nulls in every field that can be sorted by."""
    return [
        alice.create_task(
            rng.choice("abcAB"),
            due_date=rng.choice([None, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
            priority=rng.choice([None, "low", "high", "urgent"]),
        )
        for _ in range(count)
    ]


class Meanwhile:
    """Creates, completes and deletes tasks between the pages."""

    def __init__(self, alice: AuthedClient, rng: random.Random) -> None:
        """Write as alice."""
        self.alice = alice
        self.rng = rng
        self.touched: set[str] = set()

    def change(self, page: list[Task], tasks: list[Task]) -> None:
        """Delete the last task of the page and another, complete two, create three."""
        untouched = [task["id"] for task in tasks if task["id"] not in self.touched]
        others = self.rng.sample(untouched, min(3, len(untouched)))
        boundary = page[-1]["id"]
        for task_id in {boundary, *others[:1]} - self.touched:
            assert self.alice.delete(f"/api/tasks/{task_id}").status_code == 204
            self.touched.add(task_id)
        for task_id in set(others[1:]) - self.touched:
            assert self.alice.patch(f"/api/tasks/{task_id}/complete").status_code == 200
            self.touched.add(task_id)
        for task in create_varied(self.alice, self.rng, 3):
            self.touched.add(task["id"])


@every_sort
@every_order
@pytest.mark.parametrize("status", ["all", "pending"])
def test_pages_neither_repeat_nor_skip_a_task_while_others_change(
    sort: str, order: str, status: str, alice: AuthedClient
) -> None:
    rng = random.Random(f"{sort} {order}")
    tasks = create_varied(alice, rng, 30)
    meanwhile = Meanwhile(alice, rng)
    query: dict[str, Any] = {"sort": sort, "order": order, "status": status, "limit": 5}
    page = alice.get("/api/tasks", params=query)
    seen = [task["id"] for task in page.json()]
    for _ in range(4):
        meanwhile.change(page.json(), tasks)
        page = alice.get(page.links["next"]["url"])
        seen += [task["id"] for task in page.json()]
    while "next" in page.links:
        page = alice.get(page.links["next"]["url"])
        seen += [task["id"] for task in page.json()]
    untouched = {task["id"] for task in tasks} - meanwhile.touched
    assert len(untouched) > 5
    assert sorted(task_id for task_id in seen if task_id in untouched) == sorted(untouched)
    if sort != "updated":  # by which a task that changes moves itself
        assert len(set(seen)) == len(seen)


def test_offsets_shift_where_cursors_do_not(alice: AuthedClient) -> None:
    for number in range(6):
        alice.create_task(f"{number}")
    page = alice.get("/api/tasks", params={"limit": 2})
    alice.create_task("new")
    assert [task["title"] for task in alice.get(page.links["next"]["url"]).json()] == ["3", "2"]
    assert alice.list_titles(limit=2, offset=2) == ["4", "3"]


def test_a_cursor_outlives_every_task(alice: AuthedClient) -> None:
    for _ in range(3):
        alice.create_task(completed=True)
    cursor = next_cursor(alice.get("/api/tasks", params={"limit": 2}))
    alice.delete("/api/tasks", params={"status": "completed"})
    response = alice.get("/api/tasks", params={"cursor": cursor, "limit": 2})
    assert (response.json(), response.headers["x-total-count"]) == ([], "0")
    assert "next" not in response.links


@every_sort
def test_the_default_order_and_the_same_one_given_share_cursors(
    sort: str, alice: AuthedClient
) -> None:
    create_varied(alice, random.Random(1), 4)
    first = alice.get("/api/tasks", params={"sort": sort, "limit": 2})
    default = "asc" if sort in ("title", "due_date") else "desc"
    rest = {"sort": sort, "order": default, "cursor": next_cursor(first)}
    assert first.json() + alice.list_tasks(**rest) == alice.list_tasks(sort=sort)


@pytest.mark.parametrize("by_offset", [False, True])
def test_the_longest_links_lead_through_every_page(
    by_offset: bool,  # noqa: FBT001
    alice: AuthedClient,
) -> None:
    widest = chr(0x10FFFF)  # 12 characters in a query
    title = 199 * "\1" + "x"  # 6 characters each in JSON
    tags = [f"{49 * widest}{chr(0x10FF00 + number)}" for number in range(20)]
    for _ in range(3):
        alice.create_task(
            title,
            description=100 * widest,
            priority="urgent",
            due_date="2026-12-01T00:00:00Z",
            tags=tags,
        )
    query: dict[str, Any] = {
        "status": "pending",
        "completed": "false",
        "priority": ["low", "medium", "high", "urgent", "none"],
        "tag": tags,
        "search": 100 * widest,
        "due_after": "2026-11-30T00:00:00.000001-23:59",
        "due_before": "2026-12-02T00:00:00.000001+23:59",
        "sort": "title",
        "order": "desc",
        "limit": 1,
    }
    page = alice.get("/api/tasks", params={**query, "offset": 1} if by_offset else query)
    pages = [page]
    while "next" in pages[-1].links:
        assert pages[-1].links.keys() == {"next"}
        assert 13_000 < len(pages[-1].headers["link"]) <= MAX_LINK_HEADER
        pages.append(alice.get(pages[-1].links["next"]["url"]))
    assert len(pages) == (2 if by_offset else 3)
    assert all(len(page.json()) == 1 for page in pages)
    assert "link" not in pages[-1].headers


@every_sort
def test_an_offset_beside_a_cursor_is_ignored(sort: str, alice: AuthedClient) -> None:
    create_varied(alice, random.Random(2), 6)
    first = alice.get("/api/tasks", params={"sort": sort, "limit": 2})
    query: dict[str, Any] = {"sort": sort, "cursor": next_cursor(first), "limit": 2}
    response = alice.get("/api/tasks", params={**query, "offset": 3})
    assert response.json() == alice.list_tasks(**query)
    assert "cursor=" in response.links["next"]["url"]


def refused(alice: AuthedClient, **query: str) -> bool:
    """Return whether the response is a 400 that names the cursor and nothing else."""
    response = alice.get("/api/tasks", params=query)
    assert response.status_code in (200, 400), response.text
    return response.status_code == 400 and validation_errors(response).keys() == {"cursor"}


@every_sort
@every_order
def test_a_cursor_of_another_sort_or_order_is_refused(
    sort: str, order: str, alice: AuthedClient
) -> None:
    create_varied(alice, random.Random(3), 3)
    first = alice.get("/api/tasks", params={"sort": sort, "order": order, "limit": 1})
    cursor = next_cursor(first)
    for other_sort in SORTS:
        for other_order in ("asc", "desc"):
            is_same = (other_sort, other_order) == (sort, order)
            query = {"sort": other_sort, "order": other_order, "cursor": cursor}
            assert refused(alice, **query) is not is_same, query


@every_sort
def test_a_forged_value_is_refused(sort: str, alice: AuthedClient) -> None:
    alice.create_task(due_date="2026-12-01T00:00:00Z", priority="low")
    order = "asc"
    assert not refused(
        alice, sort=sort, order=order, cursor=encoded([sort, order, VALUES[sort], ID])
    )
    values: list[Any] = [1, 1.5, True, [], {}, [VALUES[sort]], "\0", "x\0y", "x" * 201]
    if sort != "title":
        values += ["", "x", "0", "infinity", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z"]
    if sort not in ("due_date", "priority"):
        values.append(None)
    if sort == "priority":
        values += ["none", "LOW", VALUES["created"]]
    for value in values:
        cursor = encoded([sort, order, value, ID])
        assert refused(alice, sort=sort, order=order, cursor=cursor), value


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "-",
        "_" * 4000,
        "A" * 4001,
        "Ã¤",
        "a b",
        "a=",
        "\0",
        "",
        encoded(b"\xff\xfe"),
        encoded(b"\0"),
        encoded(b"[" * 1000),
        encoded(b"{}"),
        encoded(b"null"),
        encoded(b'"created"'),
        encoded(b"1e999"),
        encoded(b'["created","desc","\\ud800","%b"]' % ID.encode()),
        encoded([]),
        encoded(["created", "desc", VALUES["created"]]),
        encoded(["created", "desc", VALUES["created"], ID, ID]),
        encoded(["created", "desc", VALUES["created"], "x"]),
        encoded(["created", "desc", VALUES["created"], ID.upper()]),
        encoded(["created", "desc", VALUES["created"], f"{ID}\n"]),
        encoded(["created", "desc", VALUES["created"], None]),
        encoded(["created", "desc", VALUES["created"], 1]),
        encoded(["created", ["desc"], VALUES["created"], ID]),
        encoded(["created", "desc'; --", VALUES["created"], ID]),
        encoded(["x" * 500, "desc", VALUES["created"], ID]),
    ],
)
def test_garbage_is_refused(cursor: str, alice: AuthedClient) -> None:
    alice.create_task()
    assert refused(alice, cursor=cursor)
    assert alice.get("/api/tasks").status_code == 200


@pytest.mark.parametrize("sort", ["created", "title"])
def test_a_bad_cursor_is_refused_whether_or_not_the_list_has_changed(
    sort: str, alice: AuthedClient
) -> None:
    for number in range(2):
        alice.create_task(f"{number}")
    page = alice.get("/api/tasks", params={"sort": "due_date", "limit": 1})
    for cursor in ("abc", next_cursor(page)):
        for condition in ("*", page.headers["etag"], '"x"'):
            alice.headers["If-None-Match"] = condition
            assert refused(alice, sort=sort, cursor=cursor), (cursor, condition)


def test_random_bytes_and_mutations_are_refused_or_read_as_a_position(
    alice: AuthedClient,
) -> None:
    rng = random.Random(4)
    for number in range(3):
        alice.create_task(f"{number}")
    cursor = next_cursor(alice.get("/api/tasks", params={"sort": "title", "limit": 1}))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for _ in range(100):
        characters = list(cursor)
        for _ in range(rng.randint(1, 3)):
            characters[rng.randrange(len(characters))] = rng.choice(alphabet)
        refused(alice, sort="title", cursor="".join(characters))
        assert refused(alice, cursor=encoded(rng.randbytes(rng.randint(1, 100))))


def test_a_cursor_of_another_user_shows_only_ones_own_tasks(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    own = alice.create_task("z")
    for title in "abc":
        bob.create_task(title)
    cursor = next_cursor(bob.get("/api/tasks", params={"sort": "title", "limit": 1}))
    response = alice.get("/api/tasks", params={"sort": "title", "cursor": cursor})
    assert (response.json(), response.headers["x-total-count"]) == ([own], "1")
