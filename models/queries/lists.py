"""Statements that list tasks."""

from models.postgres.statements import Statement
from models.queries.parameters import reading
from models.queries.representation import REPRESENTATION
from openapi.types import SortKey, SortOrder, StatusFilter

_STATUSES: dict[StatusFilter, str] = {
    "all": "true",
    "pending": "NOT t.completed",
    "completed": "t.completed",
}
_RANK = "array_position(ARRAY['low', 'medium', 'high', 'urgent'], {})"
_TITLE = 'lower({}) COLLATE "C"'
_KEYS: dict[SortKey, tuple[str, str, SortOrder]] = {
    "created": ("t.created_at", ":after_instant", "desc"),
    "title": (_TITLE.format("t.title"), _TITLE.format(":after_text"), "asc"),
    "due_date": ("t.due_date", ":after_instant", "asc"),
    "priority": (_RANK.format("t.priority"), _RANK.format(":after_text"), "desc"),
    "updated": ("t.updated_at", ":after_instant", "desc"),
}
"""For each sort: the key of a row, that of the row before the page, the default order."""

DEFAULT_ORDER: dict[SortKey, SortOrder] = {sort: key[2] for sort, key in _KEYS.items()}

_FILTER = """t.completed = ANY (:completed)
    AND (:priorities IS NULL OR coalesce(t.priority, 'none') = ANY (:priorities))
    AND (:tags IS NULL OR t.tags @> :tags)
    AND (:due_after IS NULL OR t.due_date >= :due_after)
    AND (:due_before IS NULL OR t.due_date < :due_before)
    AND (:search IS NULL OR strpos(lower(t.title), lower(:search)) > 0
        OR strpos(lower(t.description), lower(:search)) > 0)"""

_REVISION = "coalesce((SELECT revision FROM todo.users WHERE users.id = :user_id), 0)"


def _page(condition: str, order: str, offset: str) -> str:
    """Return the sub-select of a page: an array of tasks, and its length."""
    # LIMIT keeps PostgreSQL from flattening the sub-select, and so the order of its rows.
    return f"""
        SELECT concat('[', string_agg(row.json, ','), ']') AS json, count(*) AS count FROM (
            SELECT {REPRESENTATION} AS json FROM todo.tasks t
            WHERE t.user_id = :user_id AND {condition}
            ORDER BY {order} LIMIT :limit OFFSET {offset}) AS row"""


def _order_by(sort: SortKey, order: SortOrder) -> str:
    # Elsewhere NULLS LAST would say nothing, and keep PostgreSQL from using the index.
    nulls = " NULLS LAST" if sort in {"due_date", "priority"} else ""
    return f"{_KEYS[sort][0]} {order}{nulls}, t.id {order}"


def _list(status: StatusFilter, sort: SortKey) -> str:
    """Return the statement for a list without further filters, in the default order.

    A page that is neither full nor empty is the last, so its offset gives the total.
    Otherwise the tasks are counted: PostgreSQL runs that sub-select only if it is needed.
    """
    condition = _STATUSES[status]
    page = _page(condition, _order_by(sort, DEFAULT_ORDER[sort]), ":offset")
    return f"""
        SELECT {_REVISION}, page.json, page.count,
            CASE WHEN page.count > 0 AND page.count < :limit THEN :offset + page.count ELSE (
                SELECT count(*) FROM todo.tasks t WHERE t.user_id = :user_id AND {condition})
            END,
            :offset
        FROM ({page}) page"""


def _filtered_list(sort: SortKey, order: SortOrder) -> str:
    """Return the statement for a list with any filters, after the row of a cursor if any."""
    key, before, _ = _KEYS[sort]
    operator = ">" if order == "asc" else "<"
    after = f"""(:after_id IS NULL OR CASE WHEN {before} IS NULL
        THEN {key} IS NULL AND t.id {operator} :after_id
        ELSE {key} IS NULL OR ({key}, t.id) {operator} ({before}, :after_id) END)"""
    page = _page(f"{_FILTER} AND {after}", _order_by(sort, order), ":offset")
    return f"""
        SELECT {_REVISION}, page.json, page.count, matching.total,
            :offset + matching.total - matching.remaining
        FROM ({page}) page, (
            SELECT count(*) AS total, count(*) FILTER (WHERE {after}) AS remaining
            FROM todo.tasks t WHERE t.user_id = :user_id AND {_FILTER}) matching"""


REVISION = reading("revision", f"SELECT {_REVISION}")
LIST: dict[tuple[StatusFilter, SortKey], Statement] = {
    (status, sort): reading(f"list_{status}_by_{sort}", _list(status, sort))
    for status in _STATUSES
    for sort in ("created", "title", "due_date")
}
FILTERED_LIST: dict[tuple[SortKey, SortOrder], Statement] = {
    (sort, order): reading(f"list_filtered_by_{sort}_{order}", _filtered_list(sort, order))
    for sort in _KEYS
    for order in ("asc", "desc")
}
