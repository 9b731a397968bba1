"""Identity on Citus, which passes it on to its workers.

A worker applies row security to its own shards, so it has to know the user. It is told of
each SET LOCAL in an explicit transaction, but not of `set_config`. COMMIT has a sync of its
own: PostgreSQL skips everything up to the next sync after an error, and the transaction would
stay open. Nothing is prepared: Citus cannot distribute a generic plan.

Any PostgreSQL accepts all of this, so it is tested without Citus.
"""

from functools import lru_cache

from psycopg.sql import Literal

from models.postgres.identity import APP_ROLE, USER_SETTING, Kind
from models.postgres.statements import SYNC, Query


def _query(sql: str) -> Query:
    return Query(sql.encode(), ())


_BEGIN = {True: _query("BEGIN"), False: _query("BEGIN READ ONLY")}
_SET_APP_ROLE = (
    _query("SET LOCAL citus.propagate_set_commands = 'local'"),
    _query(f"SET LOCAL ROLE {APP_ROLE}"),
)


@lru_cache(maxsize=20_000)  # as many as for PostgreSQL
def _begin(
    user_id: str | None,
    writes: bool,  # noqa: FBT001 (as for PostgreSQL)
    statement_timeout: float,
) -> tuple[Query, ...]:
    """Return the queries that begin a user's transaction; see Kind.begin.

    No user is the login itself. A function that asks the workers in the name of its owner
    could not do so under another role, since that is passed on, too.
    """
    timeout = _query(f"SET LOCAL statement_timeout = '{statement_timeout * 1000:.0f}ms'")
    if user_id is None:
        return (_BEGIN[writes], timeout)
    literal = Literal(user_id).as_string()  # correct with any standard_conforming_strings
    return (
        _BEGIN[writes],
        *_SET_APP_ROLE,
        _query(f"SET LOCAL {USER_SETTING} = {literal}"),
        timeout,
    )


CITUS = Kind(begin=_begin, end=(SYNC, _query("COMMIT")), prepares=False)
