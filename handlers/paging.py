"""The `Link` header of a page (RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import urlencode

LIST = "/api/tasks"


def links(query: Mapping[str, str], limit: int, offset: int, total: int) -> str | None:
    """Name the other pages of a list; None if everything is on this one.

    `query` is what else the client asked for, repeated in every link.
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
        f'<{LIST}?{urlencode({**query, "limit": limit, "offset": start})}>; rel="{rel}"'
        for rel, start in pages.items()
    )
