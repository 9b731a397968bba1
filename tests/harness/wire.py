"""Requests byte by byte, for what an HTTP client refuses to send."""

import socket
from http.client import HTTPResponse

import httpx

from harness.service import Service


def send(service: Service, *lines: str | bytes, body: bytes = b"") -> httpx.Response:
    """Send a request line and header lines; return what is answered."""
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    request = b"\r\n".join([*encoded, b"Host: test", b"Connection: close", b"", body])
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection, method=encoded[0].partition(b" ")[0].decode())
        answer.begin()
        with answer:
            return httpx.Response(
                answer.status, headers=answer.getheaders(), content=answer.read()
            )
