"""The connection pool: which connection runs a batch, and what waits for one, how long."""

import asyncio
import logging
import time
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from operator import attrgetter
from typing import NoReturn

from models.errors import Unavailable
from models.postgres.connection import Batch, Connection, Queries
from models.postgres.pool_stats import PoolStats, PoolTotals
from models.postgres.reconnector import Reconnector
from models.postgres.throttle import Throttle
from models.postgres.turns import Turns

_PIPELINE_DEPTH = 4  # batches in flight on one connection; with more, some wait long
_FAST = 0.002  # seconds; nothing is sent behind a batch that takes longer


class QueueTimeout(Unavailable):
    """A batch has waited for too long to be sent."""


class Pool:
    """Sends a batch over an idle connection, or behind fast ones; the rest are queued.

    Writes of one user take turns, so that none occupies a connection only to wait for another.
    """

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
        """Plan for `size` connections, and at most `queue_size` batches that wait.

        They wait for up to `queue_timeout` seconds. At most a tenth of them are writes of one
        user that wait for their turn. For the rest see Reconnector.
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
        self._max_waiting = max(queue_size // 10, 1)
        self._queue_timeout = queue_timeout
        self._queue: deque[Batch] = deque()
        self._turns = Turns()
        self._overload = Throttle(logging.getLogger("todo.database"))
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def stats(self) -> PoolStats:
        """The figures of this moment."""
        connections = self._reconnector.all_connections
        in_flight = sum(len(connection.in_flight) for connection in connections)
        return PoolStats(len(connections), in_flight, self._queued)

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

    async def run(self, queries: Queries, *, writer: str = "") -> Batch:
        """Run queries as one transaction; return the batch with its results.

        `writer` is the user whose row they lock, if any. Raises Unavailable if they cannot be
        sent in time, OutcomeUnknown if the connection is lost meanwhile.
        """
        if self._closing or self._reconnector.down:
            raise Unavailable
        batch = Batch(queries, self._loop.create_future(), writer)
        try:
            self._submit(batch)
            await batch.future
        except QueueTimeout:
            self._overload.warning("not sent within %s s", self._queue_timeout)
            raise
        except asyncio.CancelledError:
            self._cancel(batch)
            raise
        finally:
            if writer and (following := self._turns.end(batch)):
                self._resubmit(following)
        totals = self.totals
        totals.round_trips += 1
        totals.round_trip_time += batch.seconds
        return batch

    @property
    def _queued(self) -> int:
        return len(self._queue) + self._turns.waiting

    def _submit(self, batch: Batch) -> None:
        """Send a batch, or queue it."""
        has_turn = not batch.writer or self._turns.take(batch)
        if has_turn and (connection := self._select()):
            connection.send(batch)
            return
        if self._queued >= self._queue_size:
            self._reject("the queue of %d requests is full", self._queue_size)
        if not has_turn and self._turns.count_waiting(batch.writer) >= self._max_waiting:
            self._reject("%d writes of one user wait for their turn", self._max_waiting)
        batch.queued_at = self._loop.time()
        if has_turn:
            self._queue.append(batch)
        else:
            self._turns.wait(batch)
        if self._timer is None:
            self._timer = self._loop.call_later(self._queue_timeout, self._expire_queued)

    def _reject(self, reason: str, count: int) -> NoReturn:
        self.totals.rejected += 1
        self._overload.warning(reason, count)
        raise Unavailable

    def _resubmit(self, batch: Batch) -> None:
        """Send a batch that has waited for its turn, or queue it among the others."""
        if connection := self._select():
            self._send_late(connection, batch)
        else:
            # In the order of arrival, so that the head is always the first to expire.
            insort(self._queue, batch, key=attrgetter("queued_at"))

    def _send_late(self, connection: Connection, batch: Batch) -> None:
        self.totals.queued += 1
        self.totals.queue_time += self._loop.time() - batch.queued_at
        connection.send(batch)

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

    def _send_queued(self, connection: Connection) -> None:
        """Fill a connection that has just finished a batch, from the queue."""
        while (
            self._queue
            and not connection.closed
            and len(connection.in_flight) < _PIPELINE_DEPTH
        ):
            batch = self._queue.popleft()
            if not batch.future.done():  # its request may have been cancelled just now
                self._send_late(connection, batch)

    def _expire_queued(self) -> None:
        """Fail batches that have waited too long; one timer serves one after the other."""
        time = self._loop.time() - self._queue_timeout
        for batch in self._pop_queued_until(time):
            self.totals.expired += 1
            batch.fail(QueueTimeout())
        earliest = min(self._queue[0].queued_at if self._queue else inf, self._turns.earliest())
        self._timer = (
            self._loop.call_at(earliest + self._queue_timeout, self._expire_queued)
            if earliest < inf
            else None
        )

    def _fail_queued(self) -> None:
        for batch in self._pop_queued_until(inf):
            batch.fail(Unavailable())

    def _pop_queued_until(self, time: float) -> list[Batch]:
        popped = self._turns.pop_queued_until(time)
        while self._queue and self._queue[0].queued_at <= time:
            popped.append(self._queue.popleft())
        return popped

    def _cancel(self, batch: Batch) -> None:
        """Stop what a cancelled request has sent, unless that would affect others."""
        if batch in self._queue:
            self._queue.remove(batch)
        for connection in self._reconnector.all_connections:
            if list(connection.in_flight) == [batch]:
                connection.close("its only request was cancelled")
