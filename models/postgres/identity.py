"""How a transaction takes on a user's identity; nothing else decides whose rows it sees."""

from functools import lru_cache

from models.postgres.statements import Query, Statement

APP_ROLE = "todo_serving"
"""The role that every statement runs as. It owns nothing; row security applies to it."""

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


@lru_cache(maxsize=20_000)  # reading and writing, for each token in the cache
def set_identity(user_id: str, *, writes: bool, statement_timeout: float) -> Query:
    """Return the query that makes the current transaction the user's.

    Later statements see the user's rows only, and may take `statement_timeout` seconds.
    Raises psycopg.DataError for an id with a NUL.

    Citus needs another spelling here, since `set_config` does not reach its workers: BEGIN,
    a literal SET LOCAL each, and COMMIT after the statement, all in the same round trip.
    """
    return SET_IDENTITY.bind(
        {
            "user_id": user_id,
            "statement_timeout": f"{statement_timeout * 1000:.0f}ms",
            "read_only": "off" if writes else "on",
        }
    )
