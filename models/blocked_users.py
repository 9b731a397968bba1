"""Blocked users: refused by the service, however valid their tokens.

Each process keeps a copy of the table in memory, so that no request has to ask for it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from models.postgres.database import NO_USER, Database
from models.queries.blocked_users import BLOCK_USER, LIST_BLOCKED_USERS, UNBLOCK_USER

REFRESH_INTERVAL = 2  # seconds
RETRY_INTERVAL = 0.2  # seconds, after a failure: a queue that was full may have room by now

EFFECTIVE_WITHIN = 5
"""Seconds after which every process knows of a change, while the database responds."""

logger = logging.getLogger("todo.database")


async def block_user(database: Database, user_id: str) -> bool:
    """Block a user; return whether they were not blocked before. Raises Unavailable."""
    return bool(await database.fetch(NO_USER, BLOCK_USER, {"blocked": user_id}))


async def unblock_user(database: Database, user_id: str) -> bool:
    """Unblock a user; return whether they were blocked. Raises Unavailable."""
    return bool(await database.fetch(NO_USER, UNBLOCK_USER, {"blocked": user_id}))


class BlockedUsers:
    """A copy of the table, refreshed while `running`; contains the ids of blocked users."""

    def __init__(self, database: Database) -> None:
        """Do no I/O until `running` is entered."""
        self._database = database
        self._json = b""
        self._user_ids = frozenset[str]()
        self._failing = False

    def __contains__(self, user_id: object) -> bool:
        """Return whether a user is blocked, as far as this process knows."""
        return user_id in self._user_ids

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the table, and refresh the copy until the context exits. Raises Unavailable."""
        await self._refresh()
        task = asyncio.create_task(self._refresh_loop())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _refresh_loop(self) -> None:
        """Refresh; a failure keeps the copy, since without the database nobody is served."""
        while True:
            await asyncio.sleep(RETRY_INTERVAL if self._failing else REFRESH_INTERVAL)
            try:
                await self._refresh()
            except Exception as error:  # noqa: BLE001 (an unexpected one must not end the loop)
                if not self._failing:
                    logger.warning("The blocked users cannot be read: %s.", error)
                self._failing = True
            else:
                self._failing = False

    async def _refresh(self) -> None:
        ((json,),) = await self._database.fetch(NO_USER, LIST_BLOCKED_USERS, {})
        if json != self._json:
            self._user_ids = frozenset(orjson.loads(json))
            self._json = json
