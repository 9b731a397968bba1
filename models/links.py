"""Which link a trip takes, who waits for one, and how long."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from psycopg.pq.abc import PGresult

from models.errors import Unavailable
from models.keeper import Keeper
from models.link import Link, Queries, Trip

_log = logging.getLogger(__name__)

_DEPTH = 4  # trips under way on one link; with more, some wait long for what is before them
_BRISK = 0.002  # seconds; nobody is sent after a trip that takes longer


class Links:
    """Sends each trip over an idle link, or else after brisk ones; the rest wait in a queue."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        queue_size: int,
        queue_timeout: float,
        silence: float,
        prepare: Callable[[Link], Awaitable[None]],
    ) -> None:
        """Plan for `size` links, and at most `queue_size` trips that wait for one.

        They wait for `queue_timeout` seconds at most. For the rest see Keeper.
        """
        self._keeper = Keeper(
            url,
            size,
            silence=silence,
            prepare=prepare,
            on_room=self._offer,
            on_away=self._refuse_all,
        )
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._waiting: deque[Trip] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = False
        self._returned = asyncio.Event()

    async def open(self, patience: float) -> None:
        """Connect, or raise NotConnected after `patience` seconds of trying."""
        # Kept: each time it is asked for, asyncio asks the kernel who this process is.
        self._loop = asyncio.get_running_loop()
        await self._keeper.open(patience)

    async def close(self, patience: float) -> None:
        """Refuse newcomers, and wait up to `patience` seconds for those who are served."""
        self._closing = True
        self._refuse_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while any(link.trips for link in self._keeper.links):
                    self._returned.clear()
                    await self._returned.wait()
        await self._keeper.close()

    async def run(self, queries: Queries) -> list[PGresult]:
        """Run queries as one transaction; return a result for each, as a Trip does.

        Raises Unavailable if there is no link in time, or it is lost on the way.
        """
        if self._closing or self._keeper.away:
            raise Unavailable
        trip = Trip(queries, self._loop.create_future())
        link = self._free_link()
        try:
            if link is None:
                self._enqueue(trip)
            else:
                link.send(trip)
            return await trip.answer
        except asyncio.CancelledError:
            self._forget(trip)
            raise

    def _free_link(self) -> Link | None:
        if self._waiting:
            return None
        links = self._keeper.links
        for link in links:
            if not link.trips:
                return link
        brisk = time.monotonic() - _BRISK
        roomy = [n for n in links if len(n.trips) < _DEPTH and n.first_since > brisk]
        return min(roomy, key=lambda link: len(link.trips), default=None)

    def _enqueue(self, trip: Trip) -> None:
        if len(self._waiting) == self._queue_size:
            _log.warning("%d requests wait for a connection already", self._queue_size)
            raise Unavailable
        trip.since = self._loop.time()
        self._waiting.append(trip)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._queue_timeout, self._time_out)

    def _offer(self, link: Link) -> None:
        """Fill up a link, of which a trip has just returned, from the queue."""
        if self._closing:
            self._returned.set()
        while self._waiting and not link.closed and len(link.trips) < _DEPTH:
            link.send(self._waiting.popleft())

    def _time_out(self) -> None:
        """Refuse those who have waited for too long; one alarm rings for one after another."""
        self._alarm = None
        while self._waiting:
            due = self._waiting[0].since + self._queue_timeout
            if due > self._loop.time():
                self._alarm = self._loop.call_at(due, self._time_out)
                return
            _log.warning("no connection within %s s", self._queue_timeout)
            self._waiting.popleft().fail()

    def _refuse_all(self) -> None:
        refused, self._waiting = self._waiting, deque()
        for trip in refused:
            trip.fail()

    def _forget(self, trip: Trip) -> None:
        """Stop what a cancelled request wanted, unless that would harm others."""
        if trip in self._waiting:
            self._waiting.remove(trip)
        for link in list(self._keeper.links):
            if list(link.trips) == [trip]:
                link.close("its only request was cancelled")
