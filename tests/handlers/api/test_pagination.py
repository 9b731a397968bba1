"""The `Link` header of a page: which other pages there are."""

import re

import pytest

from handlers.api.pagination import link_header
from models.tasks import TaskPage

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
