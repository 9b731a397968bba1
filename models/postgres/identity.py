"""How a transaction takes on a user's identity; nothing else decides whose rows it sees."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from models.postgres.statements import Query, Statement

APP_ROLE = "todo_serving"
"""The role that statements run as. It owns nothing; row security applies to it."""

USER_SETTING = "app.user_id"
"""The setting that has the user's id; row-level security policies compare with it."""

# Local to the transaction, so nothing is left for the next user of the connection.
SET_IDENTITY = Statement(
    f"""SELECT set_config('role', '{APP_ROLE}', true),
        set_config('{USER_SETTING}', $1, true),
        set_config('statement_timeout', $2, true),
        set_config('transaction_read_only', $3, true)""".encode(),
    ("user_id", "statement_timeout", "read_only"),
    writes=False,
    name="set_identity",
)


class Kind(NamedTuple):
    """How a kind of PostgreSQL is told whose transaction it is."""

    begin: Callable[[str | None, bool, float], tuple[Query, ...]]
    """Returns the queries before a statement of a user, or of nobody if the id is None.

    It takes the user's id, whether the statement writes, and how many seconds it may take.
    Raises psycopg.DataError for an id with a NUL.
    """
    end: tuple[Query, ...]
    """The queries after the statement."""
    prepares: bool
    """Whether statements are prepared."""


@lru_cache(maxsize=20_000)  # reading and writing, for each token in the cache
def set_identity(
    user_id: str | None,
    writes: bool,  # noqa: FBT001 (a cache is slower with names)
    statement_timeout: float,
) -> tuple[Query, ...]:
    """Return the query that makes an implicit transaction the user's; see Kind.begin."""
    query = SET_IDENTITY.bind(
        {
            "user_id": user_id or "",
            "statement_timeout": f"{statement_timeout * 1000:.0f}ms",
            "read_only": "off" if writes else "on",
        }
    )
    return (query,)


POSTGRESQL = Kind(begin=set_identity, end=(), prepares=True)
