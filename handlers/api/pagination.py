"""The `Link` header of a page (RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import urlencode

LIST_PATH = "/api/tasks"


def link_header(query: Mapping[str, str], limit: int, offset: int, total: int) -> str | None:
    """Return links to the other pages of a list; None if this is the only page.

    `query` has the other query parameters of the request, which every link repeats.
    """
    if offset == 0 and total <= limit:
        return None
    last = max(0, (total - 1) // limit * limit)
    pages = {"first": 0, "last": last}
    if offset > 0:
        pages["prev"] = max(0, min(offset - limit, last))
    if offset + limit < total:
        pages["next"] = offset + limit
    return ", ".join(
        f'<{LIST_PATH}?{urlencode({**query, "limit": limit, "offset": start})}>; rel="{rel}"'
        for rel, start in pages.items()
    )
