"""Keeps a number of connections open, and knows when the database is down."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from models.errors import NotConnected, Unavailable
from models.postgres.connect import ConnectError, connect
from models.postgres.connection import Connection
from models.postgres.dsn import describe_dsn

logger = logging.getLogger("todo.database")

_CHECK_INTERVAL = 0.25  # seconds
_FIRST_PAUSE = 0.1  # seconds between two attempts; doubled after each that fails …
_PAUSE = 0.4  # … up to this while the database is down, to notice its return soon …
_LONG_PAUSE = 5.0  # … and to this while it serves, but accepts no further connection
_PREPARE_TIMEOUT = 5.0  # seconds


class Reconnector:
    """Opens connections that are missing, one after the other, in one task.

    If that fails while there is no connection at all, the database is down, until there is
    one. A connection that has reached its lifetime is replaced, then closed when it is idle.
    """

    def __init__(
        self,
        url: str,
        size: int,
        *,
        read_timeout: float,
        max_lifetime: float,
        prepare: Callable[[Connection], Awaitable[None]],
        on_available: Callable[[Connection], None],
        on_down: Callable[[], None],
    ) -> None:
        """Plan for `size` connections; for `read_timeout` see Connection.

        A connection is replaced after `max_lifetime` seconds, less up to a tenth so that not
        all of them are at once. `prepare` prepares a new connection; it may raise
        Unavailable. `on_available` is called when a connection is new or a batch is done,
        `on_down` when the database is down.
        """
        self.connections: list[Connection] = []
        self.down = True
        self._url = url
        self._size = size
        self._read_timeout = read_timeout
        self._max_lifetime = max_lifetime
        self._prepare = prepare
        self._on_available = on_available
        self._on_down = on_down
        self._expires_at: dict[Connection, float] = {}
        self._retired: set[Connection] = set()
        self._lost = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def all_connections(self) -> list[Connection]:
        """The open connections, and those that are retired but still have batches in flight."""
        return [*self.connections, *self._retired]

    async def open(self, connect_timeout: float) -> None:
        """Connect; raises NotConnected after `connect_timeout` seconds of trying."""
        deadline = time.monotonic() + connect_timeout
        while reason := await self._add_connection():
            message = f"Cannot connect to {describe_dsn(self._url)}: {reason}"
            if time.monotonic() > deadline:
                raise NotConnected(message)
            logger.warning("%s", message)
            await asyncio.sleep(_with_jitter(_PAUSE))
        while len(self.connections) < self._size and await self._add_connection() is None:
            pass
        loops = (self._connect_loop, self._check_loop)
        self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def close(self) -> None:
        """Close all connections; the batches in flight fail."""
        # The list is emptied first: a cancelled task refers to the connection it was opening.
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connections, self.connections = self.all_connections, []
        for connection in connections:
            connection.close("the service stops")

    async def _connect_loop(self) -> None:
        """Open connections that are missing, and those that replace expired ones."""
        failures = 0
        reason: str | None = None
        while True:
            self._lost.clear()
            expired = self._expired()
            if len(self.connections) == self._size and expired is None:
                await self._wait_for_loss(_CHECK_INTERVAL)
                continue
            was_down, last_reason = self.down, reason
            try:
                reason = await self._add_connection()
            except Exception as error:  # an unexpected one must not end the loop
                reason = repr(error)
                if reason != last_reason:
                    logger.exception("unexpected error while connecting")
            if reason is None:
                failures = 0
                if was_down:
                    logger.warning("the database is available again")
                elif expired is not None and len(self.connections) > self._size:
                    self._retire(expired)
                continue
            failures += 1
            self._report(reason, failures)
            await self._wait_for_loss(self._pause(failures))

    async def _wait_for_loss(self, seconds: float) -> None:
        """Wait for up to `seconds`, less if a connection is lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lost.wait()

    def _report(self, reason: str, failures: int) -> None:
        if not self.connections and not self.down:
            logger.error("the database is down: %s", reason)
            self.down = True
            self._on_down()
        elif failures == 1:
            logger.warning(
                "%d of %d connections: %s", len(self.connections), self._size, reason
            )

    def _pause(self, failures: int) -> float:
        longest = _LONG_PAUSE if self.connections else _PAUSE
        # With jitter, so that the processes of a service do not all connect at once.
        return _with_jitter(min(longest, _FIRST_PAUSE * 2 ** min(failures - 1, 10)))

    async def _add_connection(self) -> str | None:
        """Open one more connection; returns the reason if that fails."""
        try:
            raw = await connect(self._url)
        except ConnectError as error:
            return str(error)
        connection = Connection(raw, read_timeout=self._read_timeout, on_lost=self._on_lost)
        try:
            async with asyncio.timeout(_PREPARE_TIMEOUT):
                await self._prepare(connection)
        except BaseException as error:
            connection.close("it could not be prepared")
            if isinstance(error, Unavailable | TimeoutError):
                return "a new connection was closed, or did not respond"
            raise
        lifetime = self._max_lifetime * random.uniform(0.9, 1)  # noqa: S311 (no secret)
        self._expires_at[connection] = time.monotonic() + lifetime
        connection.on_available = self._on_available
        self.connections.append(connection)
        self.down = False
        self._on_available(connection)
        return None

    def _expired(self) -> Connection | None:
        now = time.monotonic()
        return next((c for c in self.connections if self._expires_at[c] < now), None)

    def _retire(self, connection: Connection) -> None:
        """Send nothing more over a connection, and close it when it is idle."""
        self.connections.remove(connection)
        self._retired.add(connection)
        connection.on_available = _close_if_idle
        _close_if_idle(connection)

    def _on_lost(self, connection: Connection, reason: str) -> None:
        # At once, so that nothing more is sent over it.
        self._expires_at.pop(connection, None)
        if connection in self.connections:
            self.connections.remove(connection)
            self._lost.set()
            logger.warning("connection lost: %s", reason)
        self._retired.discard(connection)

    async def _check_loop(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL)
            for connection in self.all_connections:
                try:
                    connection.check()
                except Exception:  # an unexpected one must not end the loop
                    logger.exception("unexpected error while checking a connection")
                    connection.close("it could not be checked")


def _close_if_idle(connection: Connection) -> None:
    if not connection.in_flight:
        connection.close("it has reached its lifetime")


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1)  # noqa: S311 (no secret)
