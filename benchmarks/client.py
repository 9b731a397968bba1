"""Single requests to a service, outside of a load run."""

from email.message import Message
from http.client import HTTPConnection
from typing import NamedTuple

from benchmarks.processes import HOST, RunningService

TIMEOUT = 60  # seconds


class Response(NamedTuple):
    """A response."""

    status: int
    headers: Message
    content: bytes


def send(running: RunningService, request: bytes) -> Response:
    """Send a prebuilt request."""
    head, _, body = request.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    method, path, _ = start.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    connection = HTTPConnection(HOST, running.port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        connection.close()


def conditional(running: RunningService, request: bytes) -> bytes:
    """Add `If-None-Match` to a request, with the entity tag of its response as it is now."""
    tag = send(running, request).headers["ETag"]
    head, _, body = request.partition(b"\r\n\r\n")
    return b"%b\r\nIf-None-Match: %b\r\n\r\n%b" % (head, tag.encode(), body)
