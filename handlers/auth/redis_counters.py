"""Counters for rate limits, in Redis, which all processes share.

A hit costs 130 µs of processor time here, more than reading a task. The strategies of
`limits` would ask Redis three times for each, so its storage is used directly.
"""

import logging
import time

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECTIONS = 20
TIMEOUT = 0.25  # seconds, for a connection and for each response
PAUSE = 5  # seconds without another attempt after a failure
PREFIX = "todo-api"

logger = logging.getLogger("todo.limits")


class RedisCounters:
    """Counters in Redis; while it cannot be reached, nothing is counted or refused."""

    def __init__(self, url: str) -> None:
        """Use the Redis at this URL; does no I/O until there is a hit."""
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # Redis may have closed an idle connection
        )
        self._storage = RedisStorage(
            "redis://",  # the pool has the address
            implementation="redispy",
            wrap_exceptions=True,
            key_prefix=PREFIX,
            connection_pool=self._pool,  # type: ignore[arg-type]  # an option by its docstring
        )
        self._retry_at = 0.0
        """When to try again (monotonic); 0 if Redis can be reached."""

    async def increment(self, key: str, window: int, seconds: int) -> int | None:
        """Count a hit; see `Counters`."""
        if self._retry_at:
            if time.monotonic() < self._retry_at:
                return None
            self._pause()  # one request tries; the others do not wait for its outcome
        try:
            count = await self._storage.incr(f"{key}/{window}", seconds)
        except StorageError as error:
            if not self._retry_at:
                logger.warning("Redis cannot be reached, so nothing is limited: %s", error)
            self._pause()
            return None
        if self._retry_at:
            self._retry_at = 0
            logger.warning("Redis can be reached again.")
        return count

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()

    def _pause(self) -> None:
        self._retry_at = time.monotonic() + PAUSE
