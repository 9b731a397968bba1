"""How an answer reaches the network: as uvicorn sends it, but in one piece if it comes so."""

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from handlers.server.protocol import COALESCE_LIMIT, Protocol

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
WAITING = b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


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


def connect(
    app: ASGIApp, kind: type[HttpToolsProtocol] = Protocol, **options: Any
) -> tuple[Wire, HttpToolsProtocol]:
    """Connect to an application over uvicorn's protocol as it is here."""
    options = {"access_log": False, "headers": [("Server", "x")], **options}
    config = uvicorn.Config(
        app, http=kind, ws="none", lifespan="off", log_config=None, **options
    )
    config.load()
    state = ServerState()
    state.default_headers = config.encoded_headers
    wire = Wire()
    protocol = kind(config=config, server_state=state, app_state={})
    protocol.connection_made(wire)
    return wire, protocol


async def ask(
    app: ASGIApp, request: bytes, kind: type[HttpToolsProtocol] = Protocol, **options: Any
) -> Wire:
    """Ask an application; let it do what it can."""
    wire, protocol = connect(app, kind, **options)
    protocol.data_received(request)
    await anyio.wait_all_tasks_blocked()
    return wire


def saying(*messages: Message) -> ASGIApp:
    """Return an application that says this and nothing else, to whatever it is asked."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(dict(message))

    return app


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(text: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


LENGTH_5 = (b"content-length", b"5")
HELLO = [start(LENGTH_5), body(b"hello")]
REQUESTS = {
    "kept alive": GET,
    "to be closed": CLOSING,
    "HTTP/1.0": GET.replace(b"1.1", b"1.0"),
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "two at once": GET + GET,
    "a body nobody reads": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
    "one that waits to go on": WAITING,
}
ANSWERS: dict[str, Sequence[Message]] = {
    "plain": HELLO,
    "long": [start((b"content-length", b"100000")), body(b"x" * 100_000)],
    "empty": [start((b"content-length", b"0")), body(b"")],
    "no content": [start(status=204), body(b"")],
    "not modified": [start(status=304), body(b"")],
    "an unheard-of status": [start(LENGTH_5, status=599), body(b"hello")],
    "many headers": [
        start(LENGTH_5, *((b"vary", b"%d" % n) for n in range(50))),
        body(b"hello"),
    ],
    "tabs in a value": [start(LENGTH_5, (b"x", b"a\tb")), body(b"hello")],
    "bytes beyond ASCII": [start(LENGTH_5, (b"x", "é".encode())), body(b"hello")],
    "of unknown length": [start(), body(b"hello")],
    "chunked": [start((b"transfer-encoding", b"chunked")), body(b"hello")],
    "both": [start(LENGTH_5, (b"transfer-encoding", b"chunked")), body(b"hello")],
    "two lengths": [start(LENGTH_5, (b"content-length", b"9")), body(b"hello")],
    "two lengths, the first wrong": [
        start((b"content-length", b"9"), LENGTH_5),
        body(b"hello"),
    ],
    "in pieces": [start(LENGTH_5), body(b"he", more=True), body(b"llo")],
    "with an end of its own": [start(LENGTH_5), body(b"hello", more=True), body(b"")],
    "longer than it says": [start(LENGTH_5), body(b"hello!")],
    "shorter than it says": [start(LENGTH_5), body(b"hell")],
    "hanging up": [start(LENGTH_5, (b"connection", b"close")), body(b"hello")],
    "a length in capitals": [start((b"Content-Length", b"5")), body(b"hello")],
    "another name in capitals": [start(LENGTH_5, (b"Vary", b"Origin")), body(b"hello")],
    "a name that is none": [start(LENGTH_5, (b"x y", b"z")), body(b"hello")],
    "a name of two lines": [start(LENGTH_5, (b"x\r\ny", b"z")), body(b"hello")],
    "no name": [start(LENGTH_5, (b"", b"z")), body(b"hello")],
    "a value of two lines": [start(LENGTH_5, (b"x", b"y\r\nz: 1")), body(b"hello")],
    "a value with the end of a line": [start(LENGTH_5, (b"x", b"y\n")), body(b"hello")],
    "a value with a NUL": [start(LENGTH_5, (b"x", b"\0")), body(b"hello")],
    "a value with a DEL": [start(LENGTH_5, (b"x", b"\x7f")), body(b"hello")],
    "said again": [start(LENGTH_5), body(b"hello"), start(LENGTH_5), body(b"hello")],
    "begun twice": [start(LENGTH_5), start(LENGTH_5), body(b"hello")],
    "begun twice and never ended": [start((b"content-length", b"0"))] * 2,
    "without a head": [body(b"hello")],
    "nothing": [],
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_what_is_sent_is_what_uvicorn_sends(
    answer: Sequence[Message], request_: bytes
) -> None:
    ours = await ask(saying(*answer), request_)
    theirs = await ask(saying(*answer), request_, HttpToolsProtocol)
    assert b"".join(ours.writes) == b"".join(theirs.writes)
    assert ours.closed == theirs.closed


@pytest.mark.parametrize("request_", [GET, CLOSING], ids=["kept alive", "to be closed"])
async def test_an_answer_leaves_in_one_piece(request_: bytes) -> None:
    wire = await ask(Response(b"hello"), request_)
    (answer,) = wire.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


async def test_each_of_two_answers_leaves_by_itself() -> None:
    wire = await ask(Response(b"hello"), GET + GET)
    assert [answer.count(b"HTTP/1.1 200 OK") for answer in wire.writes] == [1, 1]


async def test_a_body_in_pieces_leaves_piece_by_piece() -> None:
    more = asyncio.Event()

    async def pieces() -> Any:
        yield b"first"
        await more.wait()
        yield b"second"

    wire = await ask(StreamingResponse(pieces()), GET)
    assert b"".join(wire.writes).endswith(b"\r\n\r\n5\r\nfirst\r\n")
    wire.writes.clear()
    more.set()
    await anyio.wait_all_tasks_blocked()
    assert b"".join(wire.writes) == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_a_large_body_is_not_copied_for_it() -> None:
    body = b"x" * (COALESCE_LIMIT + 1)
    wire = await ask(Response(body), GET)
    head, rest = wire.writes
    assert head.endswith(b"\r\n\r\n")
    assert rest == body


async def test_an_answer_that_breaks_off_before_its_body_is_an_error() -> None:
    wire = await ask(saying(start(LENGTH_5)), GET)
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 500 ")
    assert wire.closed


async def test_an_answer_that_breaks_off_within_its_body_is_sent_as_far_as_it_came() -> None:
    wire = await ask(saying(start(LENGTH_5), body(b"hel", more=True)), GET)
    assert b"".join(wire.writes).endswith(b"\r\n\r\nhel")
    assert wire.closed


async def test_an_answer_waits_while_the_network_takes_no_more() -> None:
    wire, protocol = connect(saying(*HELLO))
    protocol.pause_writing()
    protocol.data_received(GET)
    await anyio.wait_all_tasks_blocked()
    assert wire.writes == []
    protocol.resume_writing()
    await anyio.wait_all_tasks_blocked()
    assert b"".join(wire.writes).endswith(b"hello")


async def test_whoever_has_gone_is_sent_nothing() -> None:
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gone.wait()
        await saying(*HELLO)(scope, receive, send)

    wire, protocol = connect(app)
    protocol.data_received(GET)
    await anyio.wait_all_tasks_blocked()
    protocol.connection_lost(ConnectionResetError())
    gone.set()
    await anyio.wait_all_tasks_blocked()
    assert wire.writes == []


async def test_an_answer_in_one_piece_is_logged_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="uvicorn.access")
    await ask(saying(*HELLO), GET, access_log=True)
    assert [record.name for record in caplog.records] == ["uvicorn.access"]


async def test_whoever_listens_for_the_end_of_the_connection_hears_that_all_is_sent() -> None:
    heard: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            heard.append(await receive())

        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await asyncio.sleep(0)
            await saying(*HELLO)(scope, receive, send)

    await ask(app, GET)
    assert heard == [{"type": "http.disconnect"}]


async def test_nobody_is_told_to_go_on_after_the_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await saying(*HELLO)(scope, receive, send)
        await receive()

    wire = await ask(app, WAITING)
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 200 OK")
    assert b"Continue" not in b"".join(wire.writes)


async def test_whoever_waits_to_be_told_to_go_on_is_told_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response((await receive())["body"])(scope, receive, send)

    wire = await ask(app, WAITING)
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
