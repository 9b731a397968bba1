"""The least that Python can do: ASGI and libpq's pipeline mode, without any framework.

This is a limit, not an alternative: requests are parsed, but not validated, and PostgreSQL
makes the JSON. Each connection has many queries in flight, driven by the event loop.
"""

# ruff: noqa: S608 (statements are composed of constants; values are parameters)

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from itertools import cycle
from typing import Any
from urllib.parse import parse_qsl

import orjson
import statements
import tokens
from psycopg.conninfo import make_conninfo
from psycopg.pq import ExecStatus, PGconn
from psycopg.pq.abc import PGresult

CONNINFO = make_conninfo(
    os.environ["DATABASE_URL"],
    options="-c search_path=todo -c timezone=UTC -c plan_cache_mode=force_generic_plan",
)
POOL_SIZE = int(os.environ["POOL_SIZE"])
LIST_DEFAULTS = {"status": "all", "sort": "created", "limit": "10000", "offset": "0"}
DEFAULTS: dict[str, Any] = {
    "title": None,
    "description": None,
    "completed": False,
    "priority": None,
    "due_date": None,
    "remind_at": None,
    "tags": [],
}

Message = dict[str, Any]
Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Connection:
    """A connection in pipeline mode; results arrive in the order of the queries."""

    def __init__(self) -> None:
        """Connect."""
        self._pgconn = PGconn.connect(CONNINFO.encode())
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._names: dict[str, bytes] = {}
        self._waiting: deque[asyncio.Future[PGresult]] = deque()
        self._results: list[PGresult] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pgconn.socket, self._receive)

    def run(self, statement: str, values: Sequence[bytes | None]) -> asyncio.Future[PGresult]:
        """Send a statement, which is prepared when it is first used."""
        name = self._names.get(statement)
        if name is None:
            name = self._names[statement] = b"s%d" % len(self._names)
            self._pgconn.send_prepare(name, statement.encode())
        self._pgconn.send_query_prepared(name, values)
        self._pgconn.pipeline_sync()
        if self._pgconn.flush():
            self._loop.add_writer(self._pgconn.socket, self._flush)
        future: asyncio.Future[PGresult] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def close(self) -> None:
        """Close the connection."""
        self._loop.remove_reader(self._pgconn.socket)
        self._pgconn.finish()

    def _flush(self) -> None:
        if not self._pgconn.flush():
            self._loop.remove_writer(self._pgconn.socket)

    def _receive(self) -> None:
        self._pgconn.consume_input()
        while self._waiting and not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:  # the end of a query
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                self._waiting.popleft().set_result(self._results[-1])
                self._results.clear()
            else:
                self._results.append(result)


LISTS = {
    key: f"SELECT coalesce(json_agg(task), '[]') FROM ({statement}) task"
    for key, statement in statements.LISTS.items()
}


@cache
def one(statement: str) -> str:
    """Return the statement that makes the JSON of the only task of another one."""
    return f"WITH task AS ({statement}) SELECT row_to_json(task) FROM task"


GET, CREATE, COMPLETE = map(one, (statements.GET, statements.CREATE, statements.COMPLETE))


def to_text(value: Any) -> bytes | None:
    """Return a JSON value as a parameter in PostgreSQL's text format."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, list):
        quoted = (tag.replace("\\", r"\\").replace('"', r"\"") for tag in value)
        value = "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"
    return str(value).encode()


class Application:
    """The ASGI application."""

    def __init__(self) -> None:
        """Plan the connections, which are made when it starts."""
        self._connections: list[Connection] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        status, body = await self._respond(scope, receive)
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._connections = [Connection() for _ in range(POOL_SIZE)]
        self._next = cycle(self._connections)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for connection in self._connections:
            connection.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        headers = dict(scope["headers"])
        user = tokens.bearer(headers.get(b"authorization", b"").decode())
        if user is None:
            return 401, b"{}"
        values: Iterable[Any]
        match scope["method"], *scope["path"].split("/")[3:]:
            case ("GET",):
                query = LIST_DEFAULTS | dict(parse_qsl(scope["query_string"].decode()))
                statement = LISTS[query["status"], query["sort"]]
                values = query["limit"], query["offset"]
            case ("POST",):
                statement = CREATE
                values = (DEFAULTS | orjson.loads(await read(receive))).values()
            case ("GET", task_id):
                statement, values = GET, (task_id,)
            case ("PUT", task_id):
                given = orjson.loads(await read(receive))
                fields = {name: given[name] for name in DEFAULTS if name in given}
                statement = one(statements.update(*fields))
                values = task_id, *fields.values()
            case ("PATCH", task_id, "complete"):
                statement, values = COMPLETE, (task_id,)
            case _:
                return 404, b"{}"
        result = await next(self._next).run(statement, [*map(to_text, (user, *values))])
        if result.status != ExecStatus.TUPLES_OK:
            return 400, b"{}"
        if not result.ntuples:
            return 404, b"{}"
        return 201 if statement is CREATE else 200, result.get_value(0, 0) or b""


async def read(receive: Receive) -> bytes:
    """Read the body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


app = Application()
