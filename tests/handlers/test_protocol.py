"""How an answer reaches the network: in as few writes as possible, and never late."""

import asyncio
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from handlers.protocol import WORTH_COPYING, Protocol

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def ask(app: ASGIApp, request: bytes) -> Wire:
    """Ask an application over uvicorn's protocol as it is here; let it do what it can."""
    config = uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    wire = Wire()
    protocol = Protocol(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.data_received(request)
    await anyio.wait_all_tasks_blocked()
    return wire


async def test_an_answer_leaves_in_one_piece() -> None:
    wire = await ask(Response(b"hello"), GET)
    (answer,) = wire.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


async def test_each_of_two_answers_leaves_by_itself() -> None:
    wire = await ask(Response(b"hello"), GET + GET)
    assert [answer.count(b"HTTP/1.1 200 OK") for answer in wire.writes] == [1, 1]


@pytest.mark.parametrize(
    ("app", "request_"),
    [(Response(status_code=204), GET), (Response(b"hello"), GET.replace(b"GET", b"HEAD"))],
    ids=["no content", "head"],
)
async def test_an_answer_without_a_body_leaves_too(app: ASGIApp, request_: bytes) -> None:
    wire = await ask(app, request_)
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 20")
    assert b"".join(wire.writes).endswith(b"\r\n\r\n")


async def test_a_body_in_pieces_leaves_piece_by_piece() -> None:
    more = asyncio.Event()

    async def pieces() -> Any:
        yield b"first"
        await more.wait()
        yield b"second"

    wire = await ask(StreamingResponse(pieces()), GET)
    (first,) = wire.writes
    assert first.endswith(b"\r\n\r\n5\r\nfirst\r\n")
    more.set()
    await anyio.wait_all_tasks_blocked()
    assert b"".join(wire.writes[1:]) == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_a_large_body_is_not_copied_for_it() -> None:
    body = b"x" * (WORTH_COPYING + 1)
    wire = await ask(Response(body), GET)
    head, rest = wire.writes
    assert head.endswith(b"\r\n\r\n")
    assert rest == body


async def test_everything_is_sent_before_a_connection_is_closed() -> None:
    request = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
    for app, end in ((Response(b"hello"), b"hello"), (Response(status_code=204), b"\r\n\r\n")):
        wire = await ask(app, request)
        assert b"".join(wire.writes).endswith(end)
        assert wire.closed


async def test_an_answer_that_breaks_off_is_sent_as_far_as_it_came() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    wire = await ask(app, GET)
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 200 OK")
    assert wire.closed


async def test_whoever_waits_to_be_told_to_go_on_is_told_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response((await receive())["body"])(scope, receive, send)

    head = b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    wire = await ask(app, head)
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
