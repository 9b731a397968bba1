"""What can go wrong with tasks and their database, in words that know no HTTP.

None of these carries the database's own text: that goes to the log, not to a client.
A `ValueError` is never one of them; it would disguise a bug.
"""


class TodoError(Exception):
    """The common base: whoever catches it has caught every error of this package."""


class NotFound(TodoError):
    """No task has this id, nobody's."""


class NotYours(TodoError):
    """A task has this id, and it belongs to somebody else."""


class Stale(TodoError):
    """The task is there, at a version that the caller didn't name."""


class Unavailable(TodoError):
    """The database is down, silent, overloaded or too slow; trying again may help.

    A write that ends like this may or may not have been stored.
    """

    def __init__(self, retry_after: int = 1) -> None:
        """Advise to wait for `retry_after` seconds."""
        super().__init__("the database cannot answer now")
        self.retry_after = retry_after


class NotConnected(TodoError):
    """At start: no connection to the database; the message says where to, and why not."""


class UnsafeRole(TodoError):
    """At start: the database would not keep users apart; the message says why not."""


class MigrationFailed(TodoError):
    """At start: the schema could not be brought up to date; the message says what to do."""
