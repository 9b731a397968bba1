"""Responses whose body is JSON already, as PostgreSQL writes it."""

from starlette.responses import Response

RawHeader = tuple[bytes, bytes]

CONTENT_TYPE = (b"content-type", b"application/json")

PRIVATE: tuple[RawHeader, ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
)
"""The headers of responses about tasks: only the user's own cache may store them."""


class JSONBytesResponse(Response):
    """A response with encoded JSON and raw headers.

    Starlette's own class would encode every header again.
    """

    media_type = "application/json"

    def __init__(self, body: bytes, *headers: RawHeader, status: int = 200) -> None:
        """Send JSON in UTF-8, and headers whose names are in lower case."""
        self.status_code = status
        self.background = None
        self.body = body
        length = (b"content-length", b"%d" % len(body))
        self.raw_headers = [CONTENT_TYPE, length, *headers]


class NotModifiedResponse(Response):
    """A 304: the headers that a 200 would have for caching, uncompressed, and no body."""

    def __init__(self, etag: str) -> None:
        """Say that the representation with this entity tag is current."""
        super().__init__(status_code=304)
        self.raw_headers = [header(b"etag", etag), *PRIVATE]


def header(name: bytes, value: str) -> RawHeader:
    """Return a raw header; the name is in lower case, the value ASCII."""
    return name, value.encode()
