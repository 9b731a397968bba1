"""How much of a process its clients may use: time, bytes and connections."""

import asyncio
import logging
import resource
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from heapq import nsmallest
from math import inf
from typing import Protocol

from handlers.server.stats import connection_stats

SWEEP_INTERVAL = 0.25  # seconds
RESERVED_FILES = 100  # for logs, sockets that listen, keys, and counters of limits
MAX_FILES = 65_536  # more than that are not asked for
WARNING_INTERVAL = 60.0  # seconds between two warnings about the number of connections

logger = logging.getLogger("todo.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of every connection of a process; times are in seconds, sizes in bytes."""

    head_timeout: float = 10
    """For the first byte of a connection, and for the whole head of a request."""
    body_timeout: float = 30
    """For the whole body of a request."""
    write_timeout: float = 30
    """For the client to read a response that it does not take at once."""
    keep_alive_timeout: float = 5
    """For the next request on a connection."""
    max_head: int = 65_536
    """The request line and all headers together."""
    max_headers: int = 100
    max_connections: int = 10_000
    """Open at the same time; `raise_file_limit` says how many a process may have."""


class Closable(Protocol):
    """A connection, as the limiter sees it."""

    deadline: float
    """When `expire` is to be called, by the clock of the event loop; infinite while the
    service is at work rather than the client."""
    write_deadline: float
    """When the client must have read what it was sent."""

    @property
    def served(self) -> bool:
        """Whether the head of a request has been received on this connection."""

    @property
    def closing(self) -> bool:
        """Whether the connection is being closed, once what it was sent has been read."""

    def expire(self) -> None:
        """Close the connection, because the client was too slow."""

    def abort(self) -> None:
        """Close the connection at once."""


class ConnectionLimiter:
    """Closes connections whose deadline has passed, and idle ones if there are too many.

    One timer looks at all connections, so a deadline costs an assignment, not a timer.
    """

    def __init__(self, limits: Limits) -> None:
        """Apply these limits, once the first connection is admitted."""
        self.limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._warned_at = -inf

    def admit(
        self, connections: AbstractSet[Closable], loop: asyncio.AbstractEventLoop
    ) -> bool:
        """Return whether one more connection may be served; it is among `connections`.

        If there are too many, those that wait for their client are closed: first those that
        have never sent a request, then those that have been idle for longest.
        """
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_INTERVAL, self._sweep, connections, loop)
        excess = len(connections) - self.limits.max_connections
        if excess <= 0:
            return True
        self._warn(loop.time())
        waiting = [each for each in connections if each.deadline < inf]
        # Several at a time, since finding them looks at all.
        count = max(excess, self.limits.max_connections // 32)
        evicted = nsmallest(count, waiting, key=lambda each: (each.served, each.deadline))
        for connection in evicted:
            connection.abort()
        connection_stats.rejected += max(excess, len(evicted))
        return len(evicted) >= excess

    def _sweep(
        self, connections: AbstractSet[Closable], loop: asyncio.AbstractEventLoop
    ) -> None:
        now = loop.time()
        for connection in list(connections):
            if connection.write_deadline < now:
                connection_stats.timed_out += 1
                connection.abort()
            elif connection.closing:
                if connection.write_deadline == inf:
                    connection.write_deadline = now + self.limits.write_timeout
            elif connection.deadline < now:
                connection.expire()
        self._timer = (
            loop.call_later(SWEEP_INTERVAL, self._sweep, connections, loop)
            if connections
            else None
        )

    def _warn(self, now: float) -> None:
        if now - self._warned_at > WARNING_INTERVAL:
            self._warned_at = now
            logger.warning(
                "%d connections are open, as many as allowed: idle ones are closed",
                self.limits.max_connections,
            )


def raise_file_limit(pool_size: int) -> int:
    """Raise this process's limit of open files.

    Return how many connections that allows, besides `pool_size` of them to the database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        soft = highest
    files = MAX_FILES if soft == resource.RLIM_INFINITY else soft
    return max(files - RESERVED_FILES - pool_size, 1)
