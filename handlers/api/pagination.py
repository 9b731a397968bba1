"""Cursors, synchronization tokens, and the `Link` header of a page (RFC 8288)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode

import orjson

from models.changes import SyncState
from models.lists import Position, TaskPage
from openapi.errors import BadRequest, parameter_error
from openapi.schemas import parse_instant
from openapi.types import SortKey, SortOrder

LIST_PATH = "/api/tasks"
# Each link repeats the filters, so four could have 60,000 characters; the longest one fits.
# Many clients and proxies accept no more than 16 kB of headers.
MAX_LINK_HEADER = 16_000

FIELDS: dict[SortKey, str] = {
    "created": "created_at",
    "title": "title",
    "due_date": "due_date",
    "priority": "priority",
    "updated": "updated_at",
}
"""The field of a task that each sort orders by."""
INSTANTS = frozenset({"created", "due_date", "updated"})
NEVER_NULL = frozenset({"created", "title", "updated"})
PRIORITIES = frozenset({"low", "medium", "high", "urgent"})

MAX_TITLE = 200
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SYNC_TOKEN = re.compile(r"r([0-9]{1,18})(?:_([0-9a-f-]{36})_([0-9]{1,18}))?")


def encode_cursor(page: TaskPage, sort: SortKey, order: SortOrder) -> str:
    """Return the cursor behind the last task of a page that is not empty."""
    # No string in JSON contains an unescaped quotation mark, so this is where a task begins.
    last = orjson.loads(page.json[page.json.rindex(b'{"id":"') : -1])
    cursor = orjson.dumps([sort, order, last[FIELDS[sort]], last["id"]])
    return urlsafe_b64encode(cursor).rstrip(b"=").decode()


def decode_cursor(cursor: str, sort: SortKey, order: SortOrder) -> Position:
    """Return the position that a cursor stands for.

    Raises BadRequest unless it is one that this service made for this sort and order.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        match orjson.loads(urlsafe_b64decode(padded)):
            case [str(of_sort), str(of_order), value, str(id_)] if (
                (of_sort, of_order) == (sort, order)
                and UUID.fullmatch(id_)
                and _is_sort_value(value, sort)
            ):
                is_instant = sort in INSTANTS and value is not None
                return Position(parse_instant(value) if is_instant else value, id_)
    except (ValueError, OverflowError):
        pass
    detail = "must be a cursor from a next link, for the same sort and order"
    raise BadRequest([parameter_error("cursor", "wrong_format", detail)])


def _is_sort_value(value: object, sort: SortKey) -> bool:
    if value is None:
        return sort not in NEVER_NULL
    if not isinstance(value, str) or len(value) > MAX_TITLE or "\0" in value:
        return False
    return sort != "priority" or value in PRIORITIES


def encode_sync_token(state: SyncState) -> str:
    """Return the token of a synchronization state."""
    if state.id is None:
        return f"r{state.revision}"
    return f"r{state.revision}_{state.id}_{state.base}"


def decode_sync_token(token: str) -> SyncState:
    """Return the state that a token stands for; it matches the contract's pattern."""
    match = SYNC_TOKEN.fullmatch(token)
    assert match, "the contract has the pattern of a token"
    return SyncState(int(match[1]), match[2], int(match[3] or 0))


def link_header(
    query: Mapping[str, object], page: TaskPage, *, limit: int, next_cursor: str | None
) -> str | None:
    """Return links to the other pages of a list; None if there are none.

    `query` has the other query parameters of the request, which every link repeats. If that
    makes the header too long, only the next page is linked to. Without a `next_cursor`, it is
    named by its offset.
    """
    offset, total = page.offset, page.total
    if offset == 0 and total <= limit:
        return None
    last = max(0, (total - 1) // limit * limit)
    pages: dict[str, dict[str, object]] = {"first": {"offset": 0}, "last": {"offset": last}}
    if offset > 0:
        pages["prev"] = {"offset": max(0, min(offset - limit, last))}
    if offset + limit < total:
        pages["next"] = {"cursor": next_cursor} if next_cursor else {"offset": offset + limit}
    links: dict[str, str] = {}
    for rel, place in pages.items():
        parameters = urlencode({**query, "limit": limit, **place}, doseq=True)
        links[rel] = f'<{LIST_PATH}?{parameters}>; rel="{rel}"'
    value = ", ".join(links.values())
    return value if len(value) <= MAX_LINK_HEADER else links.get("next")
