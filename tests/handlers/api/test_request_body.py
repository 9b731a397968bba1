"""Reading a request body: whether there is one, how much is read, and what comes of it."""

import asyncio
from typing import Any

import pytest

from handlers.api.request_body import ContentTooLarge, has_body, read_body
from handlers.api.responses import JSONBytesResponse, header
from openapi.errors import BadRequest

LIMIT = 10
DISCONNECT = {"type": "http.disconnect"}


class Client:
    """Sends a body in chunks; `sent` counts the messages that were received."""

    def __init__(self, *chunks: bytes, complete: bool = True) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        if complete:
            self.messages[-1]["more_body"] = False
        self.sent = 0

    async def receive(self) -> dict[str, Any]:
        self.sent += 1
        return self.messages[self.sent - 1] if self.sent <= len(self.messages) else DISCONNECT


def read(client: Client) -> bytes:
    return asyncio.run(read_body(client.receive, LIMIT))


def test_chunks_are_joined_up_to_the_limit() -> None:
    assert read(Client(b"")) == b""
    assert read(Client(b"01234", b"", b"56789")) == b"0123456789"


def test_a_message_may_leave_out_what_is_empty() -> None:
    client = Client(b"")
    client.messages = [{"type": "http.request"}]
    assert read(client) == b""


def test_one_byte_more_than_the_limit_is_too_large() -> None:
    with pytest.raises(ContentTooLarge):
        read(Client(b"0123456789", b"a"))
    with pytest.raises(ContentTooLarge):
        read(Client(b"0123456789a"))


def test_a_body_that_is_too_large_is_read_no_further() -> None:
    client = Client(*3 * [b"0123456789"])
    with pytest.raises(ContentTooLarge):
        read(client)
    assert client.sent == 2


@pytest.mark.parametrize("chunks", [(), (b"{}",), (b"0123456789", b"")])
def test_a_body_that_is_cut_off_is_never_taken_for_a_whole_one(
    chunks: tuple[bytes, ...],
) -> None:
    with pytest.raises(BadRequest) as raised:
        read(Client(*chunks, complete=False))
    assert raised.value.errors == [
        {"pointer": "#", "code": "malformed", "detail": "ended before it was complete"}
    ]


@pytest.mark.parametrize(
    ("version", "headers", "expected"),
    [
        ("1.1", [], False),
        ("1.0", [], False),
        ("1.1", [(b"content-length", b"0")], False),
        ("1.1", [(b"content-length", b"1")], True),
        ("1.1", [(b"transfer-encoding", b"chunked")], True),
        ("1.1", [(b"content-type", b"1")], False),
        ("1.1", [(b"content-type", b"1"), (b"content-length", b"1")], True),
        ("2", [], True),
        ("2", [(b"content-length", b"0")], True),
    ],
)
def test_headers_say_whether_there_is_a_body(
    version: str, headers: list[tuple[bytes, bytes]], expected: object
) -> None:
    assert has_body({"http_version": version, "headers": headers}, LIMIT) is expected


@pytest.mark.parametrize(
    "headers", [[], [(b"transfer-encoding", b"chunked")]], ids=["alone", "with another framing"]
)
def test_a_length_above_the_limit_is_too_large(headers: list[tuple[bytes, bytes]]) -> None:
    def scope(length: bytes) -> dict[str, Any]:
        return {
            "http_version": "1.1",
            "headers": [*headers, (b"content-length", length)],
        }

    assert has_body(scope(b"10"), LIMIT)
    with pytest.raises(ContentTooLarge):
        has_body(scope(b"11"), LIMIT)


def test_a_response_has_its_length_its_type_and_its_headers() -> None:
    response = JSONBytesResponse('"é"'.encode(), header(b"etag", '"1"'), status=201)
    assert response.status_code == 201
    assert response.raw_headers == [
        (b"content-type", b"application/json"),
        (b"content-length", b"4"),
        (b"etag", b'"1"'),
    ]
    assert JSONBytesResponse(b"{}").status_code == 200
