"""Serving below a path prefix that a proxy adds, such as `/todo`."""

from collections.abc import Awaitable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESSES = frozenset({b"link", b"location"})
"""The headers that have addresses."""


class RootPathMiddleware:
    """Removes the prefix from the paths of requests, and adds it to addresses in headers.

    Inner layers see the paths of the contract in `scope["raw_path"]`, as if there were no
    proxy, and find the prefix in `scope["root_path"]`.
    """

    def __init__(self, app: ASGIApp, *, root_path: str, paths: Iterable[str]) -> None:
        """Serve below `root_path`, which is not empty; `paths` are those of the application.

        A proxy may remove the prefix, or leave it on. It must remove one that begins like one
        of the paths: otherwise `/api/x/tasks` might be `/tasks` below `/api/x`, or a path of
        the user `x`.
        """
        self._app = app
        self._root_path = root_path
        self._prefix = root_path.encode()
        self._may_remain = _first_segment(root_path) not in set(map(_first_segment, paths))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request, or pass on any other event."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        # An ASGI server with this `root_path` has put it in front of what the proxy sent.
        path = scope["raw_path"].removeprefix(scope.get("root_path", "").encode())
        if self._may_remain and (path + b"/").startswith(self._prefix + b"/"):
            path = path.removeprefix(self._prefix)
        scope = {**scope, "raw_path": path, "root_path": self._root_path}

        def send_with_prefix(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    self._prefixed(*header) if header[0] in ADDRESSES else header
                    for header in message["headers"]
                ]
            return send(message)

        return self._app(scope, receive, send_with_prefix)

    def _prefixed(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Return a header whose addresses begin with the prefix."""
        if name == b"link":
            return name, value.replace(b"</", b"<%b/" % self._prefix)
        return name, self._prefix + value


def _first_segment(path: str) -> str:
    return path.split("/")[1]
