"""The HTTP protocol sends the same bytes as uvicorn's, but a whole response in one write."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import anyio
import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from handlers.middleware.cors import headers_by_origin
from handlers.server.coalescing import COALESCE_LIMIT
from handlers.server.limits import ConnectionLimiter, Limits
from handlers.server.pipelining import MAX_PIPELINED, PIECE
from handlers.server.protocol import ACCEPT_PAUSE, Protocol
from handlers.server.stats import connection_stats

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
EXPECT_CONTINUE = b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    """Records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def limited_protocol(*, shares_socket: bool = False, **options: Any) -> Protocol:
    limiter = ConnectionLimiter(Limits())
    cors = headers_by_origin([])
    return Protocol(limiter=limiter, shares_socket=shares_socket, cors=cors, **options)


ProtocolFactory = Callable[..., HttpToolsProtocol]


def connect(
    app: ASGIApp, factory: ProtocolFactory = limited_protocol, **options: Any
) -> tuple[RecordingTransport, HttpToolsProtocol]:
    """Connect a protocol to an application."""
    options = {"access_log": False, "headers": [("Server", "x")], **options}
    config = uvicorn.Config(
        app, http=HttpToolsProtocol, ws="none", lifespan="off", log_config=None, **options
    )
    config.load()
    state = ServerState()
    state.default_headers = config.encoded_headers
    transport = RecordingTransport()
    protocol = factory(config=config, server_state=state, app_state={})
    protocol.connection_made(transport)
    return transport, protocol


async def serve(
    app: ASGIApp,
    request: bytes,
    factory: ProtocolFactory = limited_protocol,
    **options: Any,
) -> RecordingTransport:
    """Send a request to an application, and wait until every task is blocked or done."""
    transport, protocol = connect(app, factory, **options)
    protocol.data_received(request)
    await anyio.wait_all_tasks_blocked()
    return transport


def app_sending(*messages: Message) -> ASGIApp:
    """Return an application that sends these messages in response to any request."""

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
    "two pipelined": GET + GET,
    "an unread body": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
    "Expect: 100-continue": EXPECT_CONTINUE,
}
RESPONSES: dict[str, Sequence[Message]] = {
    "plain": HELLO,
    "long": [start((b"content-length", b"100000")), body(b"x" * 100_000)],
    "empty": [start((b"content-length", b"0")), body(b"")],
    "no content": [start(status=204), body(b"")],
    "not modified": [start(status=304), body(b"")],
    "an unknown status": [start(LENGTH_5, status=599), body(b"hello")],
    "many headers": [
        start(LENGTH_5, *((b"vary", b"%d" % n) for n in range(50))),
        body(b"hello"),
    ],
    "tabs in a value": [start(LENGTH_5, (b"x", b"a\tb")), body(b"hello")],
    "non-ASCII bytes": [start(LENGTH_5, (b"x", "é".encode())), body(b"hello")],
    "of unknown length": [start(), body(b"hello")],
    "chunked": [start((b"transfer-encoding", b"chunked")), body(b"hello")],
    "chunked with a length": [
        start(LENGTH_5, (b"transfer-encoding", b"chunked")),
        body(b"hello"),
    ],
    "two lengths": [start(LENGTH_5, (b"content-length", b"9")), body(b"hello")],
    "two lengths, the first wrong": [
        start((b"content-length", b"9"), LENGTH_5),
        body(b"hello"),
    ],
    "in two chunks": [start(LENGTH_5), body(b"he", more=True), body(b"llo")],
    "with an empty last chunk": [start(LENGTH_5), body(b"hello", more=True), body(b"")],
    "longer than its length": [start(LENGTH_5), body(b"hello!")],
    "shorter than its length": [start(LENGTH_5), body(b"hell")],
    "closing the connection": [start(LENGTH_5, (b"connection", b"close")), body(b"hello")],
    "a capitalised length": [start((b"Content-Length", b"5")), body(b"hello")],
    "another capitalised name": [start(LENGTH_5, (b"Vary", b"Origin")), body(b"hello")],
    "an invalid name": [start(LENGTH_5, (b"x y", b"z")), body(b"hello")],
    "a name with a line break": [start(LENGTH_5, (b"x\r\ny", b"z")), body(b"hello")],
    "an empty name": [start(LENGTH_5, (b"", b"z")), body(b"hello")],
    "a value with a header in a second line": [
        start(LENGTH_5, (b"x", b"y\r\nz: 1")),
        body(b"hello"),
    ],
    "a value with a trailing newline": [start(LENGTH_5, (b"x", b"y\n")), body(b"hello")],
    "a value with a NUL": [start(LENGTH_5, (b"x", b"\0")), body(b"hello")],
    "a value with a DEL": [start(LENGTH_5, (b"x", b"\x7f")), body(b"hello")],
    "sent twice": [start(LENGTH_5), body(b"hello"), start(LENGTH_5), body(b"hello")],
    "started twice": [start(LENGTH_5), start(LENGTH_5), body(b"hello")],
    "started twice and never completed": [start((b"content-length", b"0"))] * 2,
    "a body without a start": [body(b"hello")],
    "nothing": [],
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
async def test_the_bytes_sent_are_those_of_uvicorn(
    response: Sequence[Message], request_: bytes
) -> None:
    ours = await serve(app_sending(*response), request_)
    theirs = await serve(app_sending(*response), request_, HttpToolsProtocol)
    assert b"".join(ours.writes) == b"".join(theirs.writes)
    assert ours.closed == theirs.closed


@pytest.mark.parametrize("request_", [GET, CLOSING], ids=["kept alive", "to be closed"])
async def test_a_whole_response_is_sent_in_one_write(request_: bytes) -> None:
    transport = await serve(Response(b"hello"), request_)
    (response,) = transport.writes
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\nhello")


async def test_pipelined_responses_are_sent_in_separate_writes() -> None:
    transport = await serve(Response(b"hello"), GET + GET)
    assert [response.count(b"HTTP/1.1 200 OK") for response in transport.writes] == [1, 1]


async def test_requests_beyond_a_full_queue_are_neither_read_nor_parsed() -> None:
    allowed = asyncio.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await allowed.acquire()
        await Response(b"hello")(scope, receive, send)

    transport, protocol = connect(app)
    protocol.data_received(GET * 1000)
    for answered in range(0, 1000, 50):
        await anyio.wait_all_tasks_blocked()
        assert len(transport.writes) == answered
        waiting = len(protocol.pipeline)
        assert waiting < MAX_PIPELINED + PIECE / len(GET)
        assert not transport.reading or answered + 1 + waiting == 1000
        for _ in range(50):
            allowed.release()
    await anyio.wait_all_tasks_blocked()
    assert len(transport.writes) == 1000
    assert transport.reading
    assert not transport.closed


async def test_what_follows_a_response_that_closes_the_connection_is_discarded() -> None:
    closing = app_sending(start(LENGTH_5, (b"connection", b"close")), *HELLO[1:])
    transport = await serve(closing, GET * 500)
    assert b"".join(transport.writes).count(b"HTTP/1.1 200 ") == 1
    assert transport.closed


async def test_a_streamed_body_is_sent_chunk_by_chunk() -> None:
    more = asyncio.Event()

    async def pieces() -> Any:
        yield b"first"
        await more.wait()
        yield b"second"

    transport = await serve(StreamingResponse(pieces()), GET)
    assert b"".join(transport.writes).endswith(b"\r\n\r\n5\r\nfirst\r\n")
    transport.writes.clear()
    more.set()
    await anyio.wait_all_tasks_blocked()
    assert b"".join(transport.writes) == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_a_large_body_is_not_copied() -> None:
    body = b"x" * (COALESCE_LIMIT + 1)
    transport = await serve(Response(body), GET)
    head, rest = transport.writes
    assert head.endswith(b"\r\n\r\n")
    assert rest == body


async def test_a_response_that_ends_before_its_body_is_an_error() -> None:
    transport = await serve(app_sending(start(LENGTH_5)), GET)
    assert b"".join(transport.writes).startswith(b"HTTP/1.1 500 ")
    assert transport.closed


async def test_a_response_that_ends_within_its_body_is_sent_up_to_there() -> None:
    transport = await serve(app_sending(start(LENGTH_5), body(b"hel", more=True)), GET)
    assert b"".join(transport.writes).endswith(b"\r\n\r\nhel")
    assert transport.closed


async def test_a_response_waits_while_writing_is_paused() -> None:
    transport, protocol = connect(app_sending(*HELLO))
    protocol.pause_writing()
    protocol.data_received(GET)
    await anyio.wait_all_tasks_blocked()
    assert transport.writes == []
    protocol.resume_writing()
    await anyio.wait_all_tasks_blocked()
    assert b"".join(transport.writes).endswith(b"hello")


async def test_nothing_is_sent_after_the_client_disconnects() -> None:
    disconnected = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await disconnected.wait()
        await app_sending(*HELLO)(scope, receive, send)

    transport, protocol = connect(app)
    protocol.data_received(GET)
    await anyio.wait_all_tasks_blocked()
    protocol.connection_lost(ConnectionResetError())
    disconnected.set()
    await anyio.wait_all_tasks_blocked()
    assert transport.writes == []


async def test_a_coalesced_response_is_in_the_access_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="uvicorn.access")
    await serve(app_sending(*HELLO), GET, access_log=True)
    assert [record.name for record in caplog.records] == ["uvicorn.access"]


async def test_receive_returns_a_disconnect_once_the_response_is_complete() -> None:
    received: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            received.append(await receive())

        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await asyncio.sleep(0)
            await app_sending(*HELLO)(scope, receive, send)

    await serve(app, GET)
    assert received == [{"type": "http.disconnect"}]


async def test_100_continue_is_not_sent_after_the_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await app_sending(*HELLO)(scope, receive, send)
        await receive()

    transport = await serve(app, EXPECT_CONTINUE)
    assert b"".join(transport.writes).startswith(b"HTTP/1.1 200 OK")
    assert b"Continue" not in b"".join(transport.writes)


async def test_100_continue_is_sent_once_the_body_is_awaited() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response((await receive())["body"])(scope, receive, send)

    transport = await serve(app, EXPECT_CONTINUE)
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@pytest.mark.parametrize("shares_socket", [True, False])
async def test_a_process_that_shares_its_socket_lets_others_accept_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
    shares_socket: bool,  # noqa: FBT001
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("handlers.server.protocol.time.sleep", pauses.append)
    connect(app_sending(), partial(limited_protocol, shares_socket=shares_socket))
    assert pauses == [ACCEPT_PAUSE] * shares_socket


async def test_a_413_closes_the_connection_even_if_the_body_has_been_received() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    transport = await serve(app_sending(start(LENGTH_5, status=413), body(b"large")), request)
    assert b"connection: close" in transport.writes[0]
    assert transport.closed


@pytest.mark.parametrize("requests", [GET, GET + GET])
async def test_responses_are_sent_before_the_connection_of_a_malformed_request_is_closed(
    requests: bytes,
) -> None:
    transport = await serve(app_sending(*HELLO), requests + b"nonsense\r\n\r\n")
    received = b"".join(transport.writes)
    assert received.count(b"HTTP/1.1 200 OK") == requests.count(GET)
    assert received.count(b"connection: close") == 1
    assert transport.closed


@pytest.mark.parametrize(("target", "status"), [(b"x:80", 400), (b"/", 200)])
async def test_what_follows_connect_is_no_request(target: bytes, status: int) -> None:
    request = b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % target
    transport = await serve(app_sending(*HELLO), request + GET)
    assert b"".join(transport.writes).count(b"HTTP/1.1 ") == 1
    assert transport.writes[0].startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in transport.writes[0]


@pytest.mark.parametrize(
    ("received", "slug"),
    [
        (b"nonsense\r\n\r\n", "bad-request"),
        (GET[:-2] + b"x: y\r\n" * 101 + b"\r\n", "request-header-fields-too-large"),
    ],
)
async def test_a_request_that_the_server_rejects_is_counted_by_its_problem_type(
    received: bytes, slug: str
) -> None:
    before = dict(connection_stats.rejections)
    _, protocol = connect(app_sending(*HELLO))
    protocol.data_received(received)
    assert connection_stats.rejections == before | {slug: before[slug] + 1}


@pytest.mark.parametrize(("received", "counted"), [(b"", 1), (GET, 0)])
async def test_a_client_that_has_sent_nothing_in_time_is_counted(
    received: bytes, counted: int
) -> None:
    before = connection_stats.timed_out
    transport, protocol = connect(app_sending(*HELLO))
    if received:
        protocol.data_received(received)
        await anyio.wait_all_tasks_blocked()
    cast("Protocol", protocol).expire()
    assert transport.closed
    assert connection_stats.timed_out - before == counted
