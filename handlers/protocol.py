"""How answers reach the network: uvicorn's protocol, but for two things.

An answer leaves in one packet, unless it is long, and what is no HTTP at all is refused
with a problem document like everything else.
"""

import asyncio
import secrets

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from handlers.problems import MEDIA_TYPE, document

# Of an answer that is final; an interim one (`100 Continue`) must not wait for anything.
BEGINNINGS = tuple(b"HTTP/1.1 %d" % kind for kind in (2, 3, 4, 5))
WORTH_COPYING = 16_384  # bytes; sending a larger body by itself takes less time

FAULT = {
    "parameter": "request",
    "detail": "cannot be read as HTTP: in an address, percent-encode what is not ASCII",
}


class Together:
    """A transport on which the head of an answer waits for the beginning of its body.

    uvicorn writes them one after the other, and uvloop sends each for itself: twice the
    calls of the kernel here, and twice the packets for the client.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to this transport."""
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write, or wait for more if this begins an answer."""
        if self._head:
            if len(data) > WORTH_COPYING:
                self.flush()
            else:
                data = self._head + data
                self._head = b""
        elif data.startswith(BEGINNINGS):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write what still waits: the answer has no body, or it begins later."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Close the transport, when everything has been sent."""
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol; its own refusal, which no application sees, is plain text."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self.transport = Together(transport)  # type: ignore[assignment]

    def on_response_complete(self) -> None:
        """Begin with the next request."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

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
