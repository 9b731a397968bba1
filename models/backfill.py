"""Storing the JSON of tasks that were last written before a field was added to it.

Their JSON is right without that, but made anew for every read. This runs beside the service:
it locks the tasks of one batch, and `todo.users` for as long as it reads a page of ids.
"""

from collections.abc import Iterable, Iterator

from models.migrate import connected, every_user_visible, first_column, retried_while_locked
from models.postgres.database import Database
from models.queries.backfill import STORE_JSON

PAGE = 10_000  # users whose ids are read at a time

_USER_IDS = "SELECT id FROM todo.users WHERE id > %s ORDER BY id LIMIT %s"


async def store_json(database: Database, user_ids: Iterable[str]) -> int:
    """Store the outdated JSON of these users' tasks; return how many there were.

    Raises Unavailable.
    """
    stored = 0
    for user_id in user_ids:
        while batch := len(await database.fetch(user_id, STORE_JSON, {})):
            stored += batch
    return stored


def all_user_ids(owner_url: str) -> Iterator[str]:
    """Yield the id of every user, read page by page as the owner. Raises MigrationFailed."""
    after = ""
    while page := _page_of_user_ids(owner_url, after):
        yield from page
        after = page[-1]


@retried_while_locked
def _page_of_user_ids(owner_url: str, after: str) -> list[str]:
    with connected(owner_url) as connection, every_user_visible(connection):
        return first_column(connection, _USER_IDS, after, PAGE)
