"""Reading request bodies within a limit."""

from starlette.types import Receive, Scope

from openapi.errors import BadRequest, body_error


class ContentTooLarge(Exception):
    """The body is larger than the contract allows."""


def has_body(scope: Scope, limit: int) -> bool:
    """Return whether a request may have a body; HTTP/1 headers say so (RFC 9112, 6.3).

    Raises ContentTooLarge if it is announced with more than `limit` bytes.
    """
    if not scope["http_version"].startswith("1."):
        return True
    found = False
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            found = True
        elif name == b"content-length" and value != b"0":
            found = True
            if int(value) > limit:
                raise ContentTooLarge
    return found


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a request body of at most `limit` bytes; raises ContentTooLarge, BadRequest.

    The rest of a body that is too large is left to the server, which closes the connection.
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
        if size > limit:
            raise ContentTooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
