"""uvicorn's HTTP protocol, with limits for every client.

A request that the application never sees gets a problem document like every other error. The
modules of this package are the only ones that use private names of uvicorn (pinned to its
minor version in pyproject.toml): `_start_asgi_task`, what is inside of the protocol and its
`RequestResponseCycle`, and how `run` starts worker processes (`_subprocess.spawn`).
"""

import asyncio
import time
from math import inf
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from handlers.server.coalescing import CoalescingApp
from handlers.server.limits import ConnectionLimiter
from handlers.server.phase import BODY, HANDLING, HEAD, IDLE, LINGERING
from handlers.server.rejecting import RejectingProtocol
from handlers.server.rejection import (
    HEAD_TOO_LARGE,
    MALFORMED,
    OVERLOADED,
    TOO_SLOW,
    URI_TOO_LONG,
    Rejection,
)
from handlers.server.stats import connection_stats

MAX_URL = 65_535  # bytes, the limit of the parser
MAX_DRAIN = 32 * 1024 * 1024  # bytes that are received after a response, and discarded
ACCEPT_PAUSE = 1e-6  # seconds; the kernel makes it about 50 microseconds
DRAIN_IDLE_TIMEOUT = 1.0  # seconds that a connection is kept for a request on its way


class RequestRejected(Exception):
    """Stops the parser; httptools passes it on as an error of its own."""


class Protocol(RejectingProtocol):
    """uvicorn's protocol, with limits, and with problem documents for what is not HTTP."""

    def __init__(
        self,
        *,
        limiter: ConnectionLimiter,
        shares_socket: bool,
        **options: Any,
    ) -> None:
        """Serve one connection within the limits of the process.

        If it shares the listening socket, other processes accept connections from it, too.
        """
        super().__init__(**options)
        self.write_deadline = inf
        self._limiter = limiter
        self._limits = limiter.limits
        self._shares_socket = shares_socket
        self._since_content = 0  # bytes since the head, or since the last of the content
        self._rejection = MALFORMED
        self._draining = False

    @property
    def served(self) -> bool:
        """Whether the head of a request has been received on this connection."""
        return self.cycle is not None

    @property
    def closing(self) -> bool:
        """Whether the connection is being closed, once what it was sent has been read."""
        return self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve the connection, or reject it if there are too many.

        With a shared socket, sleep first: the process that wakes first would accept nearly all
        of many simultaneous connections. libuv once did the same.
        """
        if self._shares_socket:
            time.sleep(ACCEPT_PAUSE)
        super().connection_made(transport)
        connection_stats.open += 1
        if self._limiter.admit(self.connections, self.loop):  # type: ignore[arg-type]
            self.deadline = self.loop.time() + self._limits.head_timeout
        else:
            self.reject(OVERLOADED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no more."""
        connection_stats.open -= 1
        super().connection_lost(exc)

    def parse(self, data: bytes) -> None:
        """Parse data; discard it if the connection is about to close."""
        self.received += len(data)
        self._since_content += len(data)
        if self.phase is not LINGERING:
            super().parse(data)
        if self.phase is HEAD:
            if self.received > self._limits.max_head:
                self.reject(self._head_rejection())
        elif self.phase is BODY and (
            len(self.headers) > self._limits.max_headers
            or self._since_content > self._limits.max_head
        ):
            self.reject(HEAD_TOO_LARGE)  # by trailers
        elif self.received > MAX_DRAIN:
            self.abort()

    def on_message_begin(self) -> None:
        """Begin to receive a request."""
        super().on_message_begin()
        self.phase = HEAD
        self.deadline = self.loop.time() + self._limits.head_timeout

    def on_headers_complete(self) -> None:
        """Call the application, unless the head is too large."""
        max_head = self._limits.max_head
        if len(self.headers) > self._limits.max_headers or (
            self.received > max_head and self._head_size() > max_head
        ):
            self._rejection = self._head_rejection()
            raise RequestRejected
        if self.offers_upgrade:
            return
        super().on_headers_complete()
        self.cycle.keep_alive &= not self._draining
        self.headers = []  # of trailers, which must not become headers (RFC 9110, 6.5.1)
        self._since_content = 0
        self.phase = BODY
        self.deadline = self.loop.time() + self._limits.body_timeout

    def on_body(self, body: bytes) -> None:
        """Receive a part of the content."""
        super().on_body(body)
        self._since_content = 0

    def on_message_complete(self) -> None:
        """Wait for the application: it may take as long as it needs."""
        if self.offers_upgrade:
            return
        super().on_message_complete()
        self.cycle.more_body = False
        self.received = 0
        self.phase = HANDLING
        self.deadline = inf
        if self.cycle.response_complete:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or wait for one.

        uvicorn's own method, but for a deadline in place of a timer.
        """
        if self.transport.is_closing() or self.phase is LINGERING:
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())  # type: ignore[arg-type]
        elif self.phase is HANDLING:
            self._wait_for_request()
        self.resume_parsing()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.write_deadline = self.loop.time() + self._limits.write_timeout

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        self.write_deadline = inf

    def shutdown(self) -> None:
        """Close the connection soon: after the response to a request that may be on its way."""
        self._draining = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        if self.phase is IDLE:
            self.deadline = min(self.deadline, self.loop.time() + DRAIN_IDLE_TIMEOUT)

    def expire(self) -> None:
        """Close the connection, whose client was too slow; say so if it is in a request.

        While reading is paused, it is not the client that is slow.
        """
        if self.reading_paused:
            self.deadline = self.loop.time() + self._limits.head_timeout
            return
        self.deadline = inf
        if self.phase in {HEAD, BODY}:
            connection_stats.timed_out += 1
            self.reject(TOO_SLOW)
        else:
            connection_stats.timed_out += not self.served
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.deadline = self.write_deadline = inf
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (it is always the same)
        """Reject a request that cannot be parsed."""
        self.reject(self._head_rejection() if len(self.url) > MAX_URL else self._rejection)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        super()._start_asgi_task(cycle, CoalescingApp(app, cycle, self.finish))  # type: ignore[arg-type]

    def _wait_for_request(self) -> None:
        self.phase = IDLE
        self.deadline = self.loop.time() + self._limits.keep_alive_timeout

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _head_rejection(self) -> Rejection:
        max_url = min(self._limits.max_head // 2, MAX_URL)
        return URI_TOO_LONG if len(self.url) > max_url else HEAD_TOO_LARGE
