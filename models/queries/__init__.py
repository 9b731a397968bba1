"""The statements about users, their tasks and who is blocked, in SQL.

Each one that has a user filters by the owner itself, in addition to row-level security; EXISTS
has none. Each one that changes what the user can read raises their revision in the same
statement, and stamps the task with it: the lock on the user's row makes the order of revisions
that of the commits. (ERASE deletes the revision, too.) Locks are always taken in the order
users, idempotency_keys, tasks.
"""

from models.postgres.statements import Statement
from models.queries.blocked_users import LIST_BLOCKED_USERS
from models.queries.changes import CHANGES, EXPORT
from models.queries.deletions import CLEAR_COMPLETED, DELETE, ERASE
from models.queries.lists import DEFAULT_ORDER, FILTERED_LIST, LIST, REVISION
from models.queries.parameters import PARAMETERS, SET_FLAGS
from models.queries.representation import REPRESENTATION_VERSION
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
    "REPRESENTATION_VERSION",
    "REVISION",
    "SET_FLAGS",
    "UPDATE",
]

PREPARED: tuple[Statement, ...] = (
    REVISION,
    *LIST.values(),
    *FILTERED_LIST.values(),
    *(GET, EXISTS, CREATE, CREATE_ONCE, UPDATE, COMPLETE, DELETE, CLEAR_COMPLETED),
    *(CHANGES, LIST_BLOCKED_USERS),
)
"""What a serving process runs: each is prepared once per connection, not parsed each time."""
