"""What has changed since a client last synchronized.

Every write raises the user's revision while it holds the lock on the user's row, so revisions
become visible in their order: a client that has read up to one has not missed an earlier one.
"""

from dataclasses import dataclass

from models import queries
from models.errors import ChangesExpired
from models.postgres.database import Database

_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far a client has read, in the order of revision and id."""

    revision: int
    id: str | None = None
    """The last task read of this revision; None if all of them were."""
    base: int = 0
    """The revision at which a first, full read in pages began; 0 otherwise."""

    @property
    def needs_deletions_after(self) -> int:
        """The revision from which on every deletion must still be known."""
        return max(self.revision if self.id is None else self.revision - 1, self.base)


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """Changes in order, and how to go on."""

    changed: bytes
    """The tasks created or changed, as a JSON array in UTF-8."""
    deleted: bytes
    """The ids of deleted tasks, as a JSON array in UTF-8."""
    state: SyncState
    more: bool


async def list_changes(
    database: Database, user_id: str, since: SyncState | None, limit: int
) -> TaskChanges:
    """Return up to `limit` changes since a state, or from the beginning if that is None.

    Raises ChangesExpired if deletions since then are no longer known; Unavailable.
    """
    if since is not None and since.revision == 0:  # had nothing, so deletions do not matter
        since = None
    start = since or SyncState(0)
    values = {
        "since": start.revision,
        "since_id": start.id or _LAST_ID,
        "unless": start.revision - 1 if start.id else start.revision,
        # From the beginning, deletions before this very request are of no interest.
        "base": None if since is None else start.base,
        "limit": limit,
    }
    ((revision, forgotten, more, changed, deleted, last, last_id),) = await database.fetch(
        user_id, queries.CHANGES, values
    )
    now = int(revision)
    if since is not None and not (int(forgotten) <= since.needs_deletions_after <= now):
        raise ChangesExpired
    if more == b"f":
        return TaskChanges(changed, deleted, SyncState(now), more=False)
    base = now if since is None else since.base
    state = SyncState(int(last), last_id.decode(), base)
    return TaskChanges(changed, deleted, state, more=True)
