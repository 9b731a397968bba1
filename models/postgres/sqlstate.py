"""Error mapping: one table from SQLSTATE to a domain error."""

import logging

from psycopg import errors
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from models.errors import TodoError, Unavailable

logger = logging.getLogger("todo.database")

_BY_SQLSTATE: dict[str, type[TodoError]] = {
    # A whole class, by its first two characters …
    "08": Unavailable,  # connection exception, also between PgBouncer and the server
    "53": Unavailable,  # insufficient resources: connections (53300), memory, disk
    "57": Unavailable,  # operator intervention: timeout (57014), shutdown (57P01-03)
    # … or one state.
    "25001": Unavailable,  # the server is read-only: a pooler has chosen a standby …
    "25006": Unavailable,  # … and on Citus, where the statement itself is the first to fail
    "40001": Unavailable,  # serialization failure, with a stricter default isolation level
    "40P01": Unavailable,  # deadlock
    "55P03": Unavailable,  # lock not available, as during a migration
}
# Any other SQLSTATE is a bug, and is raised as psycopg's own error.


def error_from(result: PGresult) -> Exception:
    """Return the exception for a failed result; PostgreSQL's message is logged."""
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    error_type = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])
    if error_type is None:
        return errors.error_from_result(result)
    primary = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
    logger.warning("%s: %s", state, primary.decode(errors="replace"))
    return error_type()
