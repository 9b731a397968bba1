"""Raw HTTP requests, which an HTTP client would normalise or refuse to send."""

import socket
from http.client import HTTPResponse

import httpx

from harness.service import Service


def send(service: Service, *lines: str | bytes, body: bytes = b"") -> httpx.Response:
    """Send a request line, header lines and a body; return the response."""
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    request = b"\r\n".join([*encoded, b"Host: test", b"Connection: close", b"", body])
    with connect(service) as connection:
        connection.sendall(request)
        return read_response(connection, encoded[0].partition(b" ")[0].decode("latin-1"))


def connect(service: Service) -> socket.socket:
    """Open a connection, to send partial or pipelined requests."""
    return socket.create_connection(("127.0.0.1", service.port), timeout=30)


def read_response(connection: socket.socket, method: str = "GET") -> httpx.Response:
    """Read one response, and nothing beyond it."""
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return httpx.Response(
            response.status, headers=response.getheaders(), content=response.read()
        )
