"""Responses that are sent in one piece are written in one piece."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

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
        if start["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            cycle.keep_alive = False  # rather than receive what may be left
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
