"""One round trip to PostgreSQL: several queries, one sync, one implicit transaction.

This speaks libpq's pipeline mode itself. psycopg's own `pipeline()` ends with a Flush
behind the Sync; PgBouncer, if it sees that late, ties a server to the client for nothing.
"""

import asyncio
from collections.abc import Iterable

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from models.statements import Query

_LOOK_AROUND = 0.25  # seconds


class ConnectionLost(Exception):
    """The connection ended, or was silent for too long; what it was doing is unknown."""


async def round_trip(pgconn: PGconn, queries: Iterable[Query], limit: float) -> list[PGresult]:
    """Send `queries` over a connection in pipeline mode, return a result for each.

    A failed query's result is an error, as are those after it. Raises ConnectionLost, and
    does so after `limit` seconds at the latest; then, or when cancelled, the connection is
    of no further use.
    """
    trip = _Trip(pgconn)
    alarm = trip.loop.call_later(limit, trip.end, ConnectionLost(f"silent for {limit} s"))
    try:
        trip.start(queries)
        trip.look_around()
        return await trip.results
    finally:
        alarm.cancel()
        trip.stop_listening()


class _Trip:
    """What happens between the first query and the last result."""

    def __init__(self, pgconn: PGconn) -> None:
        self.loop = asyncio.get_running_loop()
        self.results: asyncio.Future[list[PGresult]] = self.loop.create_future()
        self._pgconn = pgconn
        self._socket = -1
        self._received: list[PGresult] = []

    def start(self, queries: Iterable[Query]) -> None:
        """Send everything, without waiting for an answer."""
        try:
            self._socket = self._pgconn.socket
            self.loop.add_reader(self._socket, self._receive)
            for query in queries:
                self._pgconn.send_query_params(query.sql, query.values)
            self._pgconn.pipeline_sync()
            if self._pgconn.flush():
                self.loop.add_writer(self._socket, self._send_more)
        except psycopg.OperationalError as error:
            self.end(ConnectionLost(str(error)))

    def end(self, loss: ConnectionLost | None = None) -> None:
        """Give the results to who awaits them, or say that there will be none."""
        # At once: libpq may have closed the socket, and its number may soon be another's.
        self.stop_listening()
        if self.results.done():
            return
        if loss:
            self.results.set_exception(loss)
        else:
            self.results.set_result(self._received)

    def stop_listening(self) -> None:
        """Leave the socket alone from now on."""
        if self._socket >= 0:
            self.loop.remove_reader(self._socket)
            self.loop.remove_writer(self._socket)
            self._socket = -1

    def look_around(self) -> None:
        """Look now and then: of a socket that libpq has closed, nobody hears any more."""
        if not self.results.done():
            self.loop.call_later(_LOOK_AROUND, self._look_around)

    def _look_around(self) -> None:
        if self._socket >= 0:
            self._receive()
            self.look_around()

    def _send_more(self) -> None:
        try:
            if not self._pgconn.flush():
                self.loop.remove_writer(self._socket)
        except psycopg.OperationalError as error:
            self.end(ConnectionLost(str(error)))

    def _receive(self) -> None:
        try:
            self._pgconn.consume_input()
            while self._socket >= 0 and not self._pgconn.is_busy():
                self._take(self._pgconn.get_result())
        except psycopg.OperationalError as error:
            # A server that ends a session says why before it does.
            failed = (r for r in self._received if r.status == ExecStatus.FATAL_ERROR)
            words = "; ".join(result.get_error_message() for result in failed)
            self.end(ConnectionLost(words or str(error)))

    def _take(self, result: PGresult | None) -> None:
        if result is None:  # the end of one query's results
            if self._pgconn.status == ConnStatus.BAD:
                raise psycopg.OperationalError(self._pgconn.get_error_message())
        elif result.status == ExecStatus.PIPELINE_SYNC:
            self.end()
        else:
            self._received.append(result)
