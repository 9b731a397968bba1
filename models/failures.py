"""What PostgreSQL's errors mean: one table from SQLSTATE to a domain error."""

import logging

from psycopg import errors
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from models.errors import TodoError, Unavailable

_log = logging.getLogger(__name__)

_MEANINGS: dict[str, type[TodoError]] = {
    # A whole class, by its first two characters …
    "08": Unavailable,  # the connection, PgBouncer's to the server too
    "53": Unavailable,  # no room: too many connections (53300), memory, disk
    "57": Unavailable,  # an operator: timeout (57014), shutdown (57P01-03)
    # … or one state.
    "40001": Unavailable,  # serialization failure, where the server's default is so strict
    "40P01": Unavailable,  # deadlock
    "55P03": Unavailable,  # a lock not to be had in time, as during a migration
}
# Whatever isn't here is a bug, and passes as psycopg's own error.


def failure(result: PGresult) -> Exception:
    """Make an exception of a failed query's result; the log has what PostgreSQL said."""
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    meaning = _MEANINGS.get(state) or _MEANINGS.get(state[:2])
    if meaning is None:
        return errors.error_from_result(result)
    primary = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
    _log.warning("%s: %s", state, primary.decode(errors="replace"))
    return meaning()
