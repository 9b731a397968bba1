"""Lists of a user's tasks, page by page.

The JSON of tasks passes through Python as PostgreSQL stores it: a list of thousands costs no
more than a single task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import queries
from models.postgres.database import Database
from openapi.types import PriorityFilter, SortKey, SortOrder, StatusFilter

_COMPLETED = {"all": (True, False), "pending": (False,), "completed": (True,)}


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are listed, besides their status; None is no condition."""

    completed: bool | None = None
    priorities: Sequence[PriorityFilter] | None = None
    tags: Sequence[str] | None = None
    search: str | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None


NO_FILTER = TaskFilter()


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of a list: behind the task with this sort key and id."""

    value: str | datetime | None
    """The field sorted by, or None if the task has none."""
    id: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a user's tasks, in order."""

    revision: int
    """The user's revision; 0 if they have never written anything."""
    json: bytes
    """The tasks as a JSON array, in UTF-8."""
    count: int
    """The number of tasks on this page."""
    total: int
    """The number of tasks on all pages."""
    offset: int
    """The number of tasks before this page."""


async def get_revision(database: Database, user_id: str) -> int:
    """Return the revision of the user's tasks, which every write raises; see TaskPage.

    Raises Unavailable.
    """
    ((revision,),) = await database.fetch(user_id, queries.REVISION, {})
    return int(revision)


async def list_tasks(  # noqa: PLR0913 (a list has as many parameters)
    database: Database,
    user_id: str,
    *,
    status: StatusFilter = "all",
    filters: TaskFilter = NO_FILTER,
    sort: SortKey = "created",
    order: SortOrder | None = None,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
) -> TaskPage:
    """List up to `limit` (1 or more) of the user's tasks, after a position or an offset.

    Without an `order`, `created` and `updated` are newest first, `title` A to Z ignoring
    case, `due_date` soonest first, `priority` most urgent first. Tasks without the field come
    last, the id breaks ties. Raises Unavailable.
    """
    values: dict[str, Any] = {"limit": limit, "offset": offset}
    statement = queries.LIST.get((status, sort))
    order = order or queries.DEFAULT_ORDER[sort]
    is_plain = filters == NO_FILTER and after is None and order == queries.DEFAULT_ORDER[sort]
    if statement is None or not is_plain:
        statement = queries.FILTERED_LIST[sort, order]
        values |= _filter_values(status, filters, after)
    ((revision, json, count, total, before),) = await database.fetch(user_id, statement, values)
    return TaskPage(int(revision), json, int(count), int(total), int(before))


def _filter_values(
    status: StatusFilter, filters: TaskFilter, after: Position | None
) -> dict[str, Any]:
    completed = _COMPLETED[status]
    if filters.completed is not None:
        completed = tuple(value for value in completed if value == filters.completed)
    value = after.value if after else None
    return {
        "completed": list(completed),
        "priorities": filters.priorities,
        "tags": filters.tags,
        "search": filters.search,
        "due_after": filters.due_after,
        "due_before": filters.due_before,
        "after_id": after.id if after else None,
        "after_text": value if isinstance(value, str) else None,
        "after_instant": value if isinstance(value, datetime) else None,
    }
