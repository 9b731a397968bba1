"""The connection pool: which connection runs a batch, and what waits for one, how long."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from models.errors import Unavailable
from models.postgres.connection import Batch, Connection, Queries
from models.postgres.reconnector import Reconnector

logger = logging.getLogger("todo.database")

_PIPELINE_DEPTH = 4  # batches in flight on one connection; with more, some wait long
_FAST = 0.002  # seconds; nothing is sent behind a batch that takes longer


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Figures of a pool at one moment."""

    size: int
    """Open connections."""
    in_flight: int
    """Batches sent and not answered yet."""
    queued: int
    """Batches that wait for a connection."""


@dataclass(slots=True)
class PoolTotals:
    """What a pool has counted since it was made; times are in seconds."""

    round_trips: int = 0
    """Batches whose results have arrived."""
    round_trip_time: float = 0.0
    """How long these took, without what they waited for before."""
    queued: int = 0
    """Batches that waited for a connection and got one."""
    queue_time: float = 0.0
    """How long these waited for it."""
    rejected: int = 0
    """Batches that found the queue full."""
    expired: int = 0
    """Batches that waited for too long."""


class QueueTimeout(Unavailable):
    """A batch has waited for a connection for too long."""


class Pool:
    """Sends a batch over an idle connection, or behind fast ones; the rest are queued."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        queue_size: int,
        queue_timeout: float,
        read_timeout: float,
        max_lifetime: float,
        prepare: Callable[[Connection], Awaitable[None]],
    ) -> None:
        """Plan for `size` connections, and at most `queue_size` batches that wait for one.

        They wait for up to `queue_timeout` seconds. For the rest see Reconnector.
        """
        self._reconnector = Reconnector(
            url,
            size,
            read_timeout=read_timeout,
            max_lifetime=max_lifetime,
            prepare=prepare,
            on_available=self._send_queued,
            on_down=self._fail_queued,
        )
        self.totals = PoolTotals()
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._queue: deque[Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def stats(self) -> PoolStats:
        """The figures of this moment."""
        connections = self._reconnector.all_connections
        in_flight = sum(len(connection.in_flight) for connection in connections)
        return PoolStats(len(connections), in_flight, len(self._queue))

    async def open(self, connect_timeout: float) -> None:
        """Connect; raises NotConnected after `connect_timeout` seconds of trying."""
        # Kept, because asyncio.get_running_loop() asks the kernel for the process id.
        self._loop = asyncio.get_running_loop()
        await self._reconnector.open(connect_timeout)

    async def close(self, drain_timeout: float) -> None:
        """Reject new batches, and drain those in flight for up to `drain_timeout` seconds."""
        self._closing = True
        self._fail_queued()
        connections = self._reconnector.all_connections
        futures = [batch.future for each in connections for batch in each.in_flight]
        if futures:
            await asyncio.wait(futures, timeout=drain_timeout)
        await self._reconnector.close()

    async def run(self, queries: Queries) -> Batch:
        """Run queries as one transaction; return the batch with its results.

        Raises Unavailable if there is no connection in time, OutcomeUnknown if it is lost
        meanwhile.
        """
        if self._closing or self._reconnector.down:
            raise Unavailable
        batch = Batch(queries, self._loop.create_future())
        connection = self._select()
        try:
            if connection is None:
                self._enqueue(batch)
            else:
                connection.send(batch)
            await batch.future
        except QueueTimeout:
            logger.warning("no connection within %s s", self._queue_timeout)
            raise
        except asyncio.CancelledError:
            self._cancel(batch)
            raise
        totals = self.totals
        totals.round_trips += 1
        totals.round_trip_time += batch.seconds
        return batch

    def _select(self) -> Connection | None:
        if self._queue:
            return None
        connections = self._reconnector.connections
        for connection in connections:
            if not connection.in_flight:
                return connection
        earliest = time.monotonic() - _FAST
        available = [
            connection
            for connection in connections
            if len(connection.in_flight) < _PIPELINE_DEPTH
            and connection.first_sent_at > earliest
        ]
        return min(available, key=lambda connection: len(connection.in_flight), default=None)

    def _enqueue(self, batch: Batch) -> None:
        if len(self._queue) == self._queue_size:
            self.totals.rejected += 1
            logger.warning("the queue of %d requests is full", self._queue_size)
            raise Unavailable
        batch.queued_at = self._loop.time()
        self._queue.append(batch)
        if self._timer is None:
            self._timer = self._loop.call_later(self._queue_timeout, self._expire_queued)

    def _send_queued(self, connection: Connection) -> None:
        """Fill a connection that has just finished a batch, from the queue."""
        while (
            self._queue
            and not connection.closed
            and len(connection.in_flight) < _PIPELINE_DEPTH
        ):
            batch = self._queue.popleft()
            if not batch.future.done():  # its request may have been cancelled just now
                self.totals.queued += 1
                self.totals.queue_time += self._loop.time() - batch.queued_at
                connection.send(batch)

    def _expire_queued(self) -> None:
        """Fail batches that have waited too long; one timer serves one after the other."""
        self._timer = None
        while self._queue:
            deadline = self._queue[0].queued_at + self._queue_timeout
            if deadline > self._loop.time():
                self._timer = self._loop.call_at(deadline, self._expire_queued)
                return
            self.totals.expired += 1
            self._queue.popleft().fail(QueueTimeout())

    def _fail_queued(self) -> None:
        queued, self._queue = self._queue, deque()
        for batch in queued:
            batch.fail(Unavailable())

    def _cancel(self, batch: Batch) -> None:
        """Stop what a cancelled request has sent, unless that would affect others."""
        if batch in self._queue:
            self._queue.remove(batch)
        for connection in self._reconnector.all_connections:
            if list(connection.in_flight) == [batch]:
                connection.close("its only request was cancelled")
