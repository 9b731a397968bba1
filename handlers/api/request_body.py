"""Reading request bodies within a limit."""

from starlette.types import Receive, Scope

from openapi.errors import BadRequest, body_error

MAX_DRAIN_BYTES = 16 * 1024 * 1024
"""How much of a body that is too large is read and discarded before the response."""


class ContentTooLarge(Exception):
    """The body is larger than the contract allows."""


def has_body(scope: Scope) -> bool:
    """Return whether a request may have a body; HTTP/1 headers say so (RFC 9112, 6.3)."""
    if not scope["http_version"].startswith("1."):
        return True
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a request body of at most `limit` bytes; raises ContentTooLarge, BadRequest.

    A client that is still sending when the connection closes may never see the response, so
    a body that is too large is read to its end, up to `MAX_DRAIN_BYTES`.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # The part that was received may look complete.
            raise BadRequest([body_error("malformed", "ended before it was complete")])
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        complete = not message.get("more_body", False)
        if size > (limit if complete else MAX_DRAIN_BYTES):
            raise ContentTooLarge
        if complete:
            return b"".join(chunks)
