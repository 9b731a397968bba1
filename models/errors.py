"""Domain errors: what can go wrong with tasks and their database, without HTTP.

None of them carries PostgreSQL's own message: that is logged, and never sent to a client. None
derives from ValueError, which would disguise a bug.
"""


class TodoError(Exception):
    """The base class of every error of this package."""


class NotFound(TodoError):
    """No task of any user has this id."""


class PermissionDenied(TodoError):
    """The task with this id belongs to another user."""


class VersionConflict(TodoError):
    """The task exists, but not in a version that the caller named."""


class KeyReused(TodoError):
    """The idempotency key was used for a task with other fields."""


class ChangesExpired(TodoError):
    """Deletions since the given state are no longer known."""


class Unavailable(TodoError):
    """The database is down, unresponsive, overloaded or too slow; a retry may succeed.

    Nothing has been written.
    """

    def __init__(self, retry_after: int = 1) -> None:
        """Advise to wait for `retry_after` seconds."""
        super().__init__("the database is unavailable")
        self.retry_after = retry_after


class OutcomeUnknown(Unavailable):
    """The connection was lost during a statement; a write may or may not have happened."""


class NotConnected(TodoError):
    """At start: no connection to the database; the message says where to, and why not."""


class UnsafeRole(TodoError):
    """At start: the database would not isolate users; the message says why not."""


class MigrationFailed(TodoError):
    """At start: the schema could not be migrated; the message says what to do."""
