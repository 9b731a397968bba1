"""Cursors, synchronization tokens, and the `Link` header of a page."""

import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from handlers.api.pagination import (
    MAX_LINK_HEADER,
    decode_cursor,
    decode_sync_token,
    encode_cursor,
    encode_sync_token,
    link_header,
)
from models.changes import SyncState
from models.lists import Position, TaskPage
from openapi.errors import BadRequest
from openapi.types import SortKey, SortOrder

Pages = dict[str, int]


def page_of(offset: int, total: int) -> TaskPage:
    """Return a page at an offset; links do not depend on its tasks."""
    return TaskPage(revision=1, json=b"[]", count=0, total=total, offset=offset)


def offsets(limit: int, offset: int, total: int) -> Pages | None:
    """Return the offset of each page that the header links to."""
    value = link_header({}, page_of(offset, total), limit=limit, next_cursor=None)
    if value is None:
        return None
    pattern = r'</api/tasks\?limit=(\d+)&offset=(\d+)>; rel="(\w+)"'
    links = [re.fullmatch(pattern, link) for link in value.split(", ")]
    assert all(link and int(link[1]) == limit for link in links)
    return {link[3]: int(link[2]) for link in links if link}


@pytest.mark.parametrize(
    ("limit", "offset", "total", "pages"),
    [
        # A multiple of the limit: the last page is full.
        (10, 0, 20, {"first": 0, "last": 10, "next": 10}),
        (10, 10, 20, {"first": 0, "last": 10, "prev": 0}),
        (10, 0, 30, {"first": 0, "last": 20, "next": 10}),
        # One more than a multiple, and one fewer.
        (10, 0, 21, {"first": 0, "last": 20, "next": 10}),
        (10, 10, 21, {"first": 0, "last": 20, "prev": 0, "next": 20}),
        (10, 20, 21, {"first": 0, "last": 20, "prev": 10}),
        (10, 0, 19, {"first": 0, "last": 10, "next": 10}),
        # Offsets that are no multiple of the limit.
        (10, 5, 20, {"first": 0, "last": 10, "prev": 0, "next": 15}),
        (10, 15, 25, {"first": 0, "last": 20, "prev": 5}),
        (10, 1, 5, {"first": 0, "last": 0, "prev": 0}),
        # Past the end, the previous page is the last.
        (10, 20, 20, {"first": 0, "last": 10, "prev": 10}),
        (10, 35, 20, {"first": 0, "last": 10, "prev": 10}),
        (10, 5, 0, {"first": 0, "last": 0, "prev": 0}),
        (1, 0, 2, {"first": 0, "last": 1, "next": 1}),
    ],
)
def test_a_page_links_to_the_first_last_previous_and_next_ones(
    limit: int, offset: int, total: int, pages: Pages
) -> None:
    assert offsets(limit, offset, total) == pages


@pytest.mark.parametrize("total", [0, 1, 9, 10])
def test_an_only_page_has_no_links(total: int) -> None:
    assert offsets(10, 0, total) is None


def test_every_link_repeats_the_other_parameters() -> None:
    value = link_header(
        {"status": "pending", "tag": ["a b", "c"]}, page_of(0, 2), limit=1, next_cursor=None
    )
    assert value == ", ".join(
        f'</api/tasks?status=pending&tag=a+b&tag=c&limit=1&offset={offset}>; rel="{rel}"'
        for rel, offset in (("first", 0), ("last", 1), ("next", 1))
    )


def test_limit_and_offset_of_the_request_do_not_replace_those_of_the_pages() -> None:
    value = link_header({"limit": "7", "offset": "3"}, page_of(0, 2), limit=1, next_cursor=None)
    assert value is not None
    assert "7" not in value
    assert "offset=3" not in value


def test_the_next_page_is_named_by_its_cursor_where_there_is_one() -> None:
    value = link_header({}, page_of(0, 2), limit=1, next_cursor="abc")
    assert value is not None
    assert value.endswith('</api/tasks?limit=1&cursor=abc>; rel="next"')


def test_a_header_that_would_be_too_long_links_to_the_next_page_only() -> None:
    def header(length: int, page: TaskPage) -> str | None:
        query = {"search": length * "x"}
        return link_header(query, page, limit=1, next_cursor=None)

    fits = (MAX_LINK_HEADER - len(header(0, page_of(1, 3)) or "")) // 4
    value = header(fits, page_of(1, 3))
    assert value is not None
    assert value.count("rel=") == 4
    value = header(fits + 1, page_of(1, 3))
    assert value is not None
    assert value.count("rel=") == 1
    assert value.endswith('&limit=1&offset=2>; rel="next"')
    assert header(fits + 2000, page_of(2, 3)) is None


ID = "01234567-89ab-4cde-8f01-23456789abcd"
INSTANT = "2026-01-02T03:04:05.678901Z"
POSITIONS: list[tuple[SortKey, str | None, str | datetime | None]] = [
    ("created", INSTANT, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
    ("updated", INSTANT, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
    ("due_date", INSTANT, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
    ("due_date", None, None),
    ("title", 200 * "x", 200 * "x"),
    ("title", '{"id":""}', '{"id":""}'),
    ("priority", "urgent", "urgent"),
    ("priority", None, None),
]
FIELDS = {"created": "created_at", "updated": "updated_at"}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(("sort", "value", "decoded"), POSITIONS)
def test_a_cursor_stands_for_the_last_task_of_its_page(
    sort: SortKey,
    value: str | None,
    decoded: str | datetime | None,
    order: SortOrder,
) -> None:
    last = {"id": ID, FIELDS.get(sort, sort): value}
    tasks = orjson.dumps([{"id": "another", "title": "x"}, last])
    page = TaskPage(revision=1, json=tasks, count=2, total=9, offset=0)
    cursor = encode_cursor(page, sort, order)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert decode_cursor(cursor, sort, order) == Position(decoded, ID)


def cursor_of(value: object) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@pytest.mark.parametrize("length", range(4))
def test_a_cursor_needs_no_padding(length: int) -> None:
    title = length * "x"
    cursor = cursor_of(["title", "asc", title, ID])
    assert decode_cursor(cursor, "title", "asc") == Position(title, ID)


@pytest.mark.parametrize(
    "value",
    [
        ["title", "desc", "x", ID],
        ["created", "asc", "x", ID],
        ["title", "asc", "x", ID.upper()],
        ["title", "asc", "x", f"{ID}0"],
        ["title", "asc", "x", ""],
        ["title", "asc", "x", 1],
        ["title", "asc", 201 * "x", ID],
        ["title", "asc", "x\0", ID],
        ["title", "asc", None, ID],
        ["title", "asc", 1, ID],
        ["title", "asc", "x"],
        ["title", "asc", "x", ID, 1],
        {"title": "asc"},
        None,
    ],
    ids=str,
)
def test_a_cursor_of_another_list_or_of_nobody_is_refused(value: Any) -> None:
    refuse(cursor_of(value), "title")


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("created", None),
        ("updated", None),
        ("created", "yesterday"),
        ("due_date", "0001-01-01T00:00:00+14:00"),
        ("priority", "important"),
    ],
)
def test_a_cursor_with_a_value_that_no_task_has_is_refused(sort: SortKey, value: Any) -> None:
    refuse(cursor_of([sort, "asc", value, ID]), sort)


@pytest.mark.parametrize("cursor", ["", "x", "xxxxx", "W10", "e30", "\N{SNOWMAN}"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    refuse(cursor, "title")


def refuse(cursor: str, sort: SortKey) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_cursor(cursor, sort, "asc")
    assert refused.value.errors == [
        {
            "parameter": "cursor",
            "code": "wrong_format",
            "detail": "must be a cursor from a next link, for the same sort and order",
        }
    ]


@pytest.mark.parametrize(
    ("token", "state"),
    [
        ("r7", SyncState(7)),
        (f"r7_{ID}_0", SyncState(7, ID)),
        (f"r7_{ID}_5", SyncState(7, ID, 5)),
    ],
)
def test_a_synchronization_token_stands_for_its_state(token: str, state: SyncState) -> None:
    assert encode_sync_token(state) == token
    assert decode_sync_token(token) == state
