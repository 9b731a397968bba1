"""One connection to PostgreSQL, with several batches of queries in flight.

A batch is a few queries and a sync: one implicit transaction, unless they begin one. It is
sent at once, behind those in flight, and results arrive in the same order. This drives
libpq's pipeline mode directly: psycopg's own `pipeline()` costs several times as much, and
sends a Flush after the Sync; if PgBouncer receives that late, it keeps a server connection
assigned for nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from models.errors import OutcomeUnknown, Unavailable
from models.postgres.connect import RawConnection
from models.postgres.statements import Query

_BAD = ConnStatus.BAD
_SYNC = ExecStatus.PIPELINE_SYNC

Queries = Iterable[Query]


@dataclass(slots=True, eq=False)
class Batch:
    """Queries of one transaction, and the future of their results, one for each.

    The result of a failed query is an error, as are those after it. The future raises
    Unavailable if the batch was not sent, OutcomeUnknown if there is no result.
    """

    queries: Queries
    future: asyncio.Future[list[PGresult]]
    writer: str = ""
    """The user whose row it locks, if any."""
    has_turn: bool = False
    """Whether it is the only one of its writer's to be sent; see Turns."""
    queued_at: float = 0.0
    """When it was queued, by the event loop's clock, if it could not be sent at once."""
    seconds: float = 0.0
    """How long it took once it was the first in flight."""
    results: list[PGresult] = field(default_factory=list)
    syncs: int = 1
    """How many syncs are to be confirmed: the last, and each SYNC among the queries."""

    def succeed(self) -> None:
        """Set the results, unless the caller has gone."""
        if not self.future.done():
            self.future.set_result(self.results)

    def fail(self, error: Unavailable) -> None:
        """Raise an error in the caller, unless it has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class Connection:
    """A connection in pipeline mode, and its batches in flight in the order of sending."""

    def __init__(
        self,
        raw: RawConnection,
        *,
        read_timeout: float,
        on_lost: Callable[["Connection", str], None],
    ) -> None:
        """Take over a connection in pipeline mode.

        It is closed when the first batch in flight takes longer than `read_timeout` seconds.
        `on_lost` is called once, with the reason, as soon as the connection is closed.
        """
        self.on_available: Callable[[Connection], None] | None = None
        """Called after each batch, if set."""
        self.in_flight: deque[Batch] = deque()
        self.first_sent_at = 0.0
        """When the first batch in flight became the first, by the monotonic clock."""
        self.prepared: frozenset[bytes] = frozenset()
        """The names of the statements prepared on this connection."""
        self.pid = raw.pgconn.backend_pid
        """The server process as reported at connect; a pooler invents it."""
        self._raw = raw
        self._pgconn = raw.pgconn
        self._read_timeout = read_timeout
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        # libpq forgets the descriptor when it closes it, and it may soon be reused.
        self._socket = self._pgconn.socket
        self._loop.add_reader(self._socket, self._receive)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._socket < 0

    def send(self, batch: Batch) -> None:
        """Send a batch without waiting for its results; on a closed connection it fails."""
        if self.closed:
            batch.fail(Unavailable())
            return
        if not self.in_flight:
            self.first_sent_at = time.monotonic()
        self.in_flight.append(batch)
        try:
            for sql, values, name in batch.queries:
                if values is None:
                    if name:
                        self._pgconn.send_prepare(name, sql)
                    else:
                        self._pgconn.pipeline_sync()
                        batch.syncs += 1
                elif name in self.prepared:
                    self._pgconn.send_query_prepared(name, values)
                else:
                    self._pgconn.send_query_params(sql, values)
            self._pgconn.pipeline_sync()
            if self._pgconn.flush():
                self._loop.add_writer(self._socket, self._flush)
        except psycopg.OperationalError as error:
            self.close(str(error))

    def check(self) -> None:
        """Detect what causes no event: an unresponsive server, a socket closed by libpq."""
        self._receive()
        if self.in_flight and time.monotonic() - self.first_sent_at > self._read_timeout:
            self.close(f"no response for {self._read_timeout} s")

    def close(self, reason: str) -> None:
        """Close the connection; the batches in flight fail."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket = -1
        self._pgconn.finish()
        lost, self.in_flight = self.in_flight, deque()
        for batch in lost:
            batch.fail(OutcomeUnknown())
        self._on_lost(self, reason)

    def _flush(self) -> None:
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.OperationalError as error:
            self.close(str(error))

    def _receive(self) -> None:
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            while self.in_flight and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:  # without a query in progress: the connection is bad
                    self._raise_if_bad()
                elif result.status == _SYNC:
                    batch = self.in_flight[0]
                    batch.syncs -= 1
                    if batch.syncs:
                        continue
                    now = time.monotonic()
                    batch.seconds, self.first_sent_at = now - self.first_sent_at, now
                    self.in_flight.popleft().succeed()
                    if self.on_available:
                        self.on_available(self)
                else:
                    self.in_flight[0].results.append(result)
                    pgconn.get_result()  # the None that ends the results of each query
        except psycopg.OperationalError as error:
            self.close(self._server_error() or str(error))

    def _raise_if_bad(self) -> None:
        if self._pgconn.status == _BAD:
            raise psycopg.OperationalError(self._pgconn.get_error_message())

    def _server_error(self) -> str:
        """Return why the server ended the session, if it sent an error before."""
        results = self.in_flight[0].results if self.in_flight else ()
        failed = (r for r in results if r.status == ExecStatus.FATAL_ERROR)
        return "; ".join(result.get_error_message() for result in failed)
