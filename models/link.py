"""One connection to PostgreSQL, on which many trips are under way at once.

A trip is a few queries and a sync: one implicit transaction. It leaves as soon as it
comes, behind those before it, and the answers return in the same order. This speaks
libpq's pipeline mode itself: psycopg's own `pipeline()` costs several times as much, and
ends with a Flush behind the Sync; PgBouncer, if it sees that late, ties a server to the
client for nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from models.errors import Unavailable
from models.session import Session
from models.statements import Query

_BAD = ConnStatus.BAD
_SYNC = ExecStatus.PIPELINE_SYNC

Queries = Iterable[Query]


@dataclass(slots=True, eq=False)
class Trip:
    """Some queries, and the future that gets a result for each.

    A failed query's result is an error, as are those after it. The future fails with
    Unavailable if there is no telling.
    """

    queries: Queries
    answer: asyncio.Future[list[PGresult]]
    since: float = 0.0
    """When it began to wait for a link, by the event loop's clock, if it had to."""
    results: list[PGresult] = field(default_factory=list)

    def succeed(self) -> None:
        """Give the results to whoever still waits for them."""
        if not self.answer.done():
            self.answer.set_result(self.results)

    def fail(self) -> None:
        """Tell whoever still waits that there will be no results."""
        if not self.answer.done():
            self.answer.set_exception(Unavailable())


class Link:
    """A connection, and its trips in the order in which they left."""

    def __init__(
        self,
        session: Session,
        *,
        silence: float,
        on_loss: Callable[["Link", str], None],
    ) -> None:
        """Take over a connection in pipeline mode.

        The first trip under way may take `silence` seconds. `on_loss` is called once, with
        the reason, in the moment the link is lost.
        """
        self.on_return: Callable[[Link], None] | None = None
        """What is called after each trip, if anything."""
        self.trips: deque[Trip] = deque()
        self.first_since = 0.0
        """When the first trip under way became the first, by the monotonic clock."""
        self.prepared: frozenset[bytes] = frozenset()
        """The names of the queries that PostgreSQL has parsed already."""
        self.pid = session.pgconn.backend_pid
        """The server process, as the server has it; a pooler makes something up."""
        self._session = session
        self._pgconn = session.pgconn
        self._silence = silence
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        # Kept, because libpq forgets it when it closes it, and it may soon be another's.
        self._socket = self._pgconn.socket
        self._loop.add_reader(self._socket, self._receive)

    @property
    def closed(self) -> bool:
        """Whether this link is lost."""
        return self._socket < 0

    def send(self, trip: Trip) -> None:
        """Let a trip leave, without waiting for an answer; on a closed link it fails."""
        if self.closed:
            trip.fail()
            return
        if not self.trips:
            self.first_since = time.monotonic()
        self.trips.append(trip)
        try:
            for sql, values, name in trip.queries:
                if values is None:
                    self._pgconn.send_prepare(name, sql)
                elif name in self.prepared:
                    self._pgconn.send_query_prepared(name, values)
                else:
                    self._pgconn.send_query_params(sql, values)
            self._pgconn.pipeline_sync()
            if self._pgconn.flush():
                self._loop.add_writer(self._socket, self._send_more)
        except psycopg.OperationalError as error:
            self.close(str(error))

    def look_around(self) -> None:
        """Find out what nobody tells: silence, and a socket that libpq has closed."""
        if not self.trips:
            return
        self._receive()
        if self.trips and time.monotonic() - self.first_since > self._silence:
            self.close(f"silent for {self._silence} s")

    def close(self, reason: str) -> None:
        """End the connection, and with it the trips under way."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket = -1
        self._pgconn.finish()
        lost, self.trips = self.trips, deque()
        for trip in lost:
            trip.fail()
        self._on_loss(self, reason)

    def _send_more(self) -> None:
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.OperationalError as error:
            self.close(str(error))

    def _receive(self) -> None:
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            while self.trips and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:  # of nothing: there is no connection any more
                    self._check()
                elif result.status == _SYNC:
                    self.first_since = time.monotonic()
                    self.trips.popleft().succeed()
                    if self.on_return:
                        self.on_return(self)
                else:
                    self.trips[0].results.append(result)
                    pgconn.get_result()  # None, which ends the results of each query
        except psycopg.OperationalError as error:
            self.close(self._last_words() or str(error))

    def _check(self) -> None:
        if self._pgconn.status == _BAD:
            raise psycopg.OperationalError(self._pgconn.get_error_message())

    def _last_words(self) -> str:
        """Say why the server ends the session, if it said so before it did."""
        results = self.trips[0].results if self.trips else ()
        failed = (r for r in results if r.status == ExecStatus.FATAL_ERROR)
        return "; ".join(result.get_error_message() for result in failed)
