"""Every statement, in SQL.

Each one filters by the owner itself, in addition to row-level security. Each change raises the
user's revision in the same statement, and stamps the task with it: the lock on the user's row
makes the order of revisions that of the commits. Locks are always taken in the order users,
idempotency_keys, tasks.
"""

from models.postgres.statements import Statement
from models.queries.changes import CHANGES, EXPORT
from models.queries.deletions import CLEAR_COMPLETED, DELETE, ERASE
from models.queries.lists import DEFAULT_ORDER, FILTERED_LIST, LIST, REVISION
from models.queries.parameters import PARAMETERS, SET_FLAGS
from models.queries.tasks import COMPLETE, CREATE, CREATE_ONCE, EXISTS, GET, UPDATE

__all__ = [
    "CHANGES",
    "CLEAR_COMPLETED",
    "COMPLETE",
    "CREATE",
    "CREATE_ONCE",
    "DEFAULT_ORDER",
    "DELETE",
    "ERASE",
    "EXISTS",
    "EXPORT",
    "FILTERED_LIST",
    "GET",
    "LIST",
    "PARAMETERS",
    "PREPARED",
    "REVISION",
    "SET_FLAGS",
    "UPDATE",
]

PREPARED: tuple[Statement, ...] = (
    REVISION,
    *LIST.values(),
    *FILTERED_LIST.values(),
    *(GET, EXISTS, CREATE, CREATE_ONCE, UPDATE, COMPLETE, DELETE, CLEAR_COMPLETED),
    *(CHANGES, ERASE, EXPORT),
)
"""What the service runs: each is prepared once per connection, not parsed once per request."""
