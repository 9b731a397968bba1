"""uvicorn's HTTP protocol, with limits for every client.

A response that the application sends in one piece is written in one piece, and a request
that the application never sees gets a problem document like every other error. This module
is the only place that uses private names of uvicorn (pinned to its minor version in
pyproject.toml): `_start_asgi_task`, and the attributes of its `RequestResponseCycle`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from math import inf
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from handlers.server.limits import ConnectionLimiter
from handlers.server.rejection import (
    HEAD_TOO_LARGE,
    MALFORMED,
    OVERLOADED,
    TOO_MANY_PIPELINED,
    TOO_SLOW,
    URI_TOO_LONG,
    Rejection,
)

MAX_URL = 65_535  # bytes, the limit of the parser
MAX_PIPELINED = 100  # requests that wait for the responses to earlier ones
MAX_DRAIN = 16 * 1024 * 1024  # bytes that are received after a response, and discarded
LINGER_TIMEOUT = 5.0  # seconds
DRAIN_IDLE_TIMEOUT = 1.0  # seconds that a connection is kept for a request on its way
COALESCE_LIMIT = 16_384  # bytes; sending a larger body separately takes less time

# What a field value must not contain (RFC 9110, 5.5), and what separates two lines.
CONTROL_CHARACTERS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
CRLF = b"\r\n"
CONNECTION_CLOSE = b"connection: close\r\n"

CONTENT_LENGTH = b"content-length"
HOP_BY_HOP = frozenset({b"connection", b"transfer-encoding"})


class CoalescingApp:
    """An application for one request, whose response is written at once if it is complete.

    uvicorn matches each header against two regular expressions, and writes head and body
    separately, which uvloop sends as two packets: a fifteenth of the work for reading a task.
    Anything unusual is left to uvicorn.
    """

    def __init__(
        self, app: ASGIApp, cycle: RequestResponseCycle, finish: Callable[[], None]
    ) -> None:
        """Send the response of `app` in this cycle; `finish` closes its connection."""
        self._app = app
        self._cycle = cycle
        self._finish = finish
        self._start: Message | None = None

    def __call__(self, scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
        """Call the application."""
        return self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        """Hold the head until there is a body; write both at once, or as uvicorn does."""
        start, self._start = self._start, None
        cycle = self._cycle
        if start is None:
            if message["type"] == "http.response.start" and not cycle.response_started:
                self._start = message
            else:
                await cycle.send(message)  # type: ignore[arg-type]
            return
        if start["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and cycle.more_body:
            cycle.keep_alive = False  # rather than receive the rest
        if parts := self._coalesce(start, message):
            cycle.response_started = cycle.response_complete = True
            for part in parts:
                cycle.transport.write(part)
            if not cycle.keep_alive:
                self._finish()
            cycle.message_event.set()
            cycle.on_response()
        else:
            await cycle.send(start)  # type: ignore[arg-type]
            await cycle.send(message)  # type: ignore[arg-type]

    def _coalesce(self, start: Message, message: Message) -> list[bytes] | None:
        """Return the bytes of a complete and ordinary response; None for any other."""
        cycle = self._cycle
        if (
            message["type"] != "http.response.body"
            or message.get("more_body")
            or cycle.waiting_for_100_continue
            or cycle.disconnected
            or cycle.flow.write_paused
            or cycle.access_log
            or cycle.scope["method"] == "HEAD"
        ):
            return None
        headers = [*cycle.default_headers, *start.get("headers", ())]
        body: bytes = message.get("body", b"")
        index = _content_length_index(tuple([name for name, _ in headers]))
        if index is None or headers[index][1] != b"%d" % len(body):
            return None
        lines = CRLF.join(map(b": ".join, headers))
        if len(lines.translate(None, CONTROL_CHARACTERS)) != len(lines) - 2 * (
            len(headers) - 1
        ):
            return None  # a value contains a line break or another control character
        close = b"" if cycle.keep_alive else CONNECTION_CLOSE
        head = b"%b%b\r\n%b\r\n" % (STATUS_LINE[start["status"]], lines, close)
        return [head, body] if len(body) > COALESCE_LIMIT else [head + body]


@lru_cache
def _content_length_index(names: tuple[bytes, ...]) -> int | None:
    """Return the index of `Content-Length` among header names; None if framing is unusual.

    Responses have few distinct lists of names, so each is checked once.
    """
    valid = all(name.islower() and not HEADER_RE.search(name) for name in names)
    if not valid or CONTENT_LENGTH not in names or not HOP_BY_HOP.isdisjoint(names):
        return None
    return names.index(CONTENT_LENGTH)


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()
    """The next request."""
    HEAD = auto()
    """The rest of a request's head."""
    BODY = auto()
    """The rest of a request's body."""
    HANDLING = auto()
    """The response of the application."""
    LINGERING = auto()
    """The client to close the connection."""


class RequestRejected(Exception):
    """Stops the parser; httptools passes it on as an error of its own."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits, and with problem documents for what is not HTTP."""

    def __init__(self, *, limiter: ConnectionLimiter, **options: Any) -> None:
        """Serve one connection within the limits of the process."""
        super().__init__(**options)
        self.deadline = self.write_deadline = inf
        self._limiter = limiter
        self._limits = limiter.limits
        self._phase = Phase.IDLE
        self._received = 0  # bytes of the current request, or more if they were pipelined
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
        """Serve the connection, or reject it if there are too many."""
        super().connection_made(transport)
        if self._limiter.admit(self.connections, self.loop):  # type: ignore[arg-type]
            self.deadline = self.loop.time() + self._limits.head_timeout
        else:
            self._reject(OVERLOADED)

    def data_received(self, data: bytes) -> None:
        """Parse what has been received; discard it if the connection is about to close."""
        self._received += len(data)
        if self._phase is not Phase.LINGERING:
            super().data_received(data)
        if self._phase is Phase.HEAD:
            if self._received > self._limits.max_head:
                self._reject(self._head_rejection())
        elif self._phase is Phase.BODY and len(self.headers) > self._limits.max_headers:
            self._reject(HEAD_TOO_LARGE)  # by trailers
        elif self._received > MAX_DRAIN:
            self.abort()

    def on_message_begin(self) -> None:
        """Begin to receive a request."""
        super().on_message_begin()
        self._phase = Phase.HEAD
        self.deadline = self.loop.time() + self._limits.head_timeout

    def on_headers_complete(self) -> None:
        """Call the application, unless the head is too large."""
        max_head = self._limits.max_head
        if len(self.headers) > self._limits.max_headers or (
            self._received > max_head and self._head_size() > max_head
        ):
            self._rejection = self._head_rejection()
        elif len(self.pipeline) == MAX_PIPELINED:
            self._rejection = TOO_MANY_PIPELINED
        if self._rejection is not MALFORMED:
            raise RequestRejected
        super().on_headers_complete()
        self.cycle.keep_alive &= not self._draining
        self._phase = Phase.BODY
        self.deadline = self.loop.time() + self._limits.body_timeout

    def on_message_complete(self) -> None:
        """Wait for the application: it may take as long as it needs."""
        super().on_message_complete()
        self.cycle.more_body = False
        self._received = 0
        self._phase = Phase.HANDLING
        self.deadline = inf
        if self.cycle.response_complete:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or wait for one.

        uvicorn's own method, but for a deadline in place of a timer.
        """
        if self.transport.is_closing() or self._phase is Phase.LINGERING:
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())  # type: ignore[arg-type]
        elif self._phase is Phase.HANDLING:
            self._wait_for_request()

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
        if self._phase is Phase.IDLE:
            self.deadline = min(self.deadline, self.loop.time() + DRAIN_IDLE_TIMEOUT)

    def finish(self) -> None:
        """Close the connection after its last response, once the request has been received."""
        if self.cycle.more_body:
            self._linger()
        else:
            self.transport.close()

    def expire(self) -> None:
        """Close the connection, whose client was too slow; say so if it is in a request."""
        self.deadline = inf
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._limiter.timed_out += 1
            self._reject(TOO_SLOW)
        else:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.deadline = self.write_deadline = inf
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Reject a request that cannot be parsed."""
        self.logger.debug("%s", msg)
        self._reject(self._head_rejection() if len(self.url) > MAX_URL else self._rejection)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        super()._start_asgi_task(cycle, CoalescingApp(app, cycle, self.finish))  # type: ignore[arg-type]

    def _wait_for_request(self) -> None:
        self._phase = Phase.IDLE
        self.deadline = self.loop.time() + self._limits.keep_alive_timeout

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _head_rejection(self) -> Rejection:
        return URI_TOO_LONG if len(self.url) > self._limits.max_head // 2 else HEAD_TOO_LARGE

    def _reject(self, rejection: Rejection) -> None:
        """Respond to a request that the application never sees, and close.

        Only close if another response has begun, or must come first.
        """
        if not self._may_respond():
            self.transport.close()
            return
        if self._phase is Phase.BODY:  # the application waits for the rest
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(rejection.response())
        self._linger()

    def _may_respond(self) -> bool:
        if self._phase is Phase.BODY:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle is None or self.cycle.response_complete

    def _linger(self) -> None:
        """Close the connection when the client has done so, or has had time to.

        Otherwise the client's kernel would discard the response if there is more of the
        request on its way (RFC 9112, 9.6).
        """
        self._phase = Phase.LINGERING
        self._received = 0
        self.deadline = self.loop.time() + LINGER_TIMEOUT
        self.flow.resume_reading()
