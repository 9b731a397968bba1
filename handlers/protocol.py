"""How answers reach the network: uvicorn's protocol, but for two things.

An answer that comes whole leaves whole, in one packet unless it is long, and what is no
HTTP at all is refused with a problem document like everything else.
"""

import secrets
from collections.abc import Awaitable
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from handlers.problems import MEDIA_TYPE, document

WORTH_COPYING = 16_384  # bytes; sending a larger body by itself takes less time

# What a value must not contain (RFC 9110, 5.5), and what stands between two lines.
CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
LINE_END = b"\r\n"
GOODBYE = b"connection: close\r\n"

LENGTH = b"content-length"
OF_THE_CONNECTION = frozenset({b"connection", b"transfer-encoding"})

FAULT = {
    "parameter": "request",
    "detail": "cannot be read as HTTP: in an address, percent-encode what is not ASCII",
}


class Whole:
    """An application whose answer to one request is sent whole, if it comes whole.

    uvicorn looks at each header with two regular expressions, and writes head and body
    one after the other, which uvloop sends each for itself: a fifteenth of the service's
    work for reading a task, and twice the packets. Whatever is unusual is left to uvicorn.
    """

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        """Send what `app` answers to the request of this cycle."""
        self._app = app
        self._cycle = cycle
        self._start: Message | None = None

    def __call__(self, scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
        """Let the application answer."""
        return self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        """Keep the head until there is a body; send them as one, or as uvicorn does."""
        start, self._start = self._start, None
        cycle = self._cycle
        if start is None:
            if message["type"] == "http.response.start" and not cycle.response_started:
                self._start = message
            else:
                await cycle.send(message)  # type: ignore[arg-type]
        elif answer := self._as_one(start, message):
            cycle.response_started = cycle.response_complete = True
            for part in answer:
                cycle.transport.write(part)
            if not cycle.keep_alive:
                cycle.transport.close()
            cycle.message_event.set()
            cycle.on_response()
        else:
            await cycle.send(start)  # type: ignore[arg-type]
            await cycle.send(message)  # type: ignore[arg-type]

    def _as_one(self, start: Message, message: Message) -> list[bytes] | None:
        """Return what goes over the wire if the whole answer is here and nothing is unusual."""
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
        where = _length_among(tuple([name for name, _ in headers]))
        if where is None or headers[where][1] != b"%d" % len(body):
            return None
        lines = LINE_END.join(map(b": ".join, headers))
        if len(lines.translate(None, CONTROLS)) != len(lines) - 2 * (len(headers) - 1):
            return None  # a value has ends of lines of its own, or worse
        goodbye = b"" if cycle.keep_alive else GOODBYE
        head = b"%b%b\r\n%b\r\n" % (STATUS_LINE[start["status"]], lines, goodbye)
        return [head, body] if len(body) > WORTH_COPYING else [head + body]


@lru_cache
def _length_among(names: tuple[bytes, ...]) -> int | None:
    """Say which of these headers is the body's length, if none says more of how to send it.

    An answer's names are one of few sets, so each is looked at once.
    """
    plain = all(name.islower() and not HEADER_RE.search(name) for name in names)
    if not plain or LENGTH not in names or not OF_THE_CONNECTION.isdisjoint(names):
        return None
    return names.index(LENGTH)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol; its own refusal, which no application sees, is plain text."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        super()._start_asgi_task(cycle, Whole(app, cycle))  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and hang up: nobody knows where it ends."""
        request_id = secrets.token_hex(16)
        self.logger.warning("request %s: %s", request_id, msg)
        detail = f"{FAULT['parameter']}: {FAULT['detail']}."
        body = document({"raw_path": b"/"}, 400, detail=detail, errors=[FAULT])
        head = (
            "HTTP/1.1 400 Bad Request",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "x-content-type-options: nosniff",
            "connection: close",
            "\r\n",
        )
        self.transport.write("\r\n".join(head).encode() + body)
        self.transport.close()
