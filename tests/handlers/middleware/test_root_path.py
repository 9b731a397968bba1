"""The path prefix: removed from the paths of requests, added to addresses in headers."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from handlers.middleware.root_path import RootPathMiddleware

pytestmark = pytest.mark.anyio

PATHS = ("/", "/api/tasks", "/api/tasks/{task_id}", "/docs", "/docs/start.js", "/health")


async def request(
    root_path: str, raw_path: bytes, *headers: tuple[bytes, bytes], prepended: str = ""
) -> tuple[Scope, list[tuple[bytes, bytes]]]:
    """Return the scope that the application gets, and the headers that the client gets.

    The application responds with these headers. `prepended` is the server's own `root_path`.
    """
    scopes: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})

    async def receive() -> Any:
        raise NotImplementedError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "raw_path": prepended.encode() + raw_path,
        "root_path": prepended,
    }
    middleware = RootPathMiddleware(app, root_path=root_path, paths=PATHS)
    await middleware(scope, receive, send)
    return scopes[0], sent[0]["headers"]


@pytest.mark.parametrize("is_prepended", [True, False])
@pytest.mark.parametrize(
    ("root_path", "raw_path", "seen"),
    [
        ("/todo", b"/api/tasks", b"/api/tasks"),
        ("/todo", b"/todo/api/tasks", b"/api/tasks"),
        ("/todo", b"/todo/api/a%2Fb/tasks", b"/api/a%2Fb/tasks"),
        ("/todo", b"/todo", b""),
        ("/todo", b"/todo/", b"/"),
        ("/todo", b"/", b"/"),
        ("/todo", b"/todos", b"/todos"),
        ("/todo", b"/todo/todo/api/tasks", b"/todo/api/tasks"),
        ("/todo/v1", b"/todo/v1/docs", b"/docs"),
        ("/todo/v1", b"/todo/docs", b"/todo/docs"),
        # The service has paths of its own there, so the proxy must remove these prefixes.
        ("/api", b"/api/tasks", b"/api/tasks"),
        ("/api/x", b"/api/x/tasks", b"/api/x/tasks"),
        ("/docs", b"/docs/start.js", b"/docs/start.js"),
    ],
)
async def test_the_application_gets_its_own_paths(
    root_path: str,
    raw_path: bytes,
    seen: bytes,
    is_prepended: bool,  # noqa: FBT001
) -> None:
    """An ASGI server whose own `root_path` is set prepends it to every path."""
    scope, _ = await request(root_path, raw_path, prepended=root_path if is_prepended else "")
    assert (scope["raw_path"], scope["root_path"]) == (seen, root_path)


async def test_addresses_in_headers_begin_with_the_prefix_and_nothing_else_does() -> None:
    links = (
        b'</api/tasks?search=%3C%2F&offset=0>; rel="first", </api/tasks?limit=1>; rel="next"'
    )
    unchanged = [(b"etag", b'"</1"'), (b"content-type", b"text/html"), (b"allow", b"GET")]
    _, headers = await request(
        "/todo", b"/api/tasks", *unchanged, (b"location", b"/api/tasks/1"), (b"link", links)
    )
    assert headers == [
        *unchanged,
        (b"location", b"/todo/api/tasks/1"),
        (b"link", links.replace(b"</api", b"</todo/api")),
    ]


async def test_other_events_are_passed_on_as_they_are() -> None:
    scope: Scope = {"type": "lifespan"}
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        raise NotImplementedError

    await RootPathMiddleware(app, root_path="/todo", paths=PATHS)(scope, nothing, nothing)
    assert seen[0] is scope
