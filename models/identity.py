"""How a transaction takes on a user's identity: this, and nothing else, decides who asks."""

from functools import lru_cache

from models.schema import SERVING_ROLE, USER_SETTING
from models.statements import Query, often

# Local to the transaction, so nothing is left for whoever has the connection next.
_SETTINGS = often(
    f"""SELECT set_config('role', '{SERVING_ROLE}', true),
        set_config('{USER_SETTING}', $1, true),
        set_config('statement_timeout', $2, true),
        set_config('transaction_read_only', $3, true)""".encode(),
    ("user_id", "statement_timeout", "read_only"),
    writes=False,
)


@lru_cache(maxsize=20_000)  # for each token remembered, reading and writing
def become(user_id: str, *, writes: bool, statement_timeout: float) -> Query:
    """Make what follows in this transaction the user's: their rows, for so many seconds.

    psycopg.DataError for an id with a NUL.

    Citus needs another spelling here, since `set_config` doesn't reach its workers: BEGIN,
    a literal SET LOCAL each, and COMMIT behind the statement, all of them in the same trip.
    """
    return _SETTINGS.with_values(
        {
            "user_id": user_id,
            "statement_timeout": f"{statement_timeout * 1000:.0f}ms",
            "read_only": "off" if writes else "on",
        }
    )
