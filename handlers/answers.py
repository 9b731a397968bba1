"""Answers whose body is JSON already, as PostgreSQL writes it."""

from starlette.responses import Response

RawHeader = tuple[bytes, bytes]

CONTENT_TYPE = (b"content-type", b"application/json")


class JSON(Response):
    """JSON as it is; Starlette's own class would spell out every header once more."""

    media_type = "application/json"

    def __init__(self, body: bytes, *headers: RawHeader, status: int = 200) -> None:
        """Answer with these bytes, in UTF-8, and these headers, their names in lower case."""
        self.status_code = status
        self.background = None
        self.body = body
        length = (b"content-length", b"%d" % len(body))
        self.raw_headers = [CONTENT_TYPE, length, *headers]


def header(name: bytes, value: str) -> RawHeader:
    """Write a header, whose name is in lower case and whose value is ASCII."""
    return name, value.encode()
