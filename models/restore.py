"""What a database needs after it was restored from a backup.

Its users' revisions are those of the backup, and clients have seen later ones. If a revision
were given out twice, a client with the `ETag` or the synchronization token of the first would
take its copy for current.
"""

from models.migrate import connected, every_user_visible, retried_while_locked
from models.schema import MICROSECONDS

# As in a new row, the clock is above every revision that there ever was.
_ADVANCE = f"""
    UPDATE todo.users SET
        revision = greatest(revision + 1, {MICROSECONDS}),
        forgotten = greatest(revision + 1, {MICROSECONDS})"""  # noqa: S608 (a constant)


@retried_while_locked
def advance_revisions(owner_url: str) -> int:
    """Advance every user's revision past all that clients may have seen; return the number.

    Synchronization tokens from before are refused from then on, since deletions since then
    are not known; no `ETag` of a list from before is current. Raises MigrationFailed.
    """
    with connected(owner_url) as connection, every_user_visible(connection):
        return connection.execute(_ADVANCE).rowcount
