"""The outermost layer: what every request and every answer has in common."""

import logging
import random
import time
from collections.abc import Awaitable
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFFING = (b"x-content-type-options", b"nosniff")

access_log = logging.getLogger("todo.access")


class Edge:
    """Names each request, brings its path into one form, and logs it.

    The path arrives in `scope["path"]` in the flat form of the contract,
    without slashes at its end; the user id of the user-scoped form is in
    `scope["state"]["path_user"]`, the request's id in `request_id`. What other
    layers append to `headers` there, every answer says besides its own.
    """

    def __init__(self, app: ASGIApp, *, user_scope: tuple[str, str]) -> None:
        """Fold paths that begin like the first of `user_scope` into the second."""
        self._app = app
        prefix, same_as = user_scope
        self._scoped = prefix.split("/")
        self._flat = same_as.split("/")
        self._beginning = f"{same_as}/"
        self._user = self._scoped.index("{user_id}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and see its answer out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, user = self._fold(scope["raw_path"].decode("latin-1"))
        request_id = random.getrandbits(128).to_bytes(16).hex()  # a name, no secret
        headers = [(b"x-request-id", request_id.encode()), NO_SNIFFING]
        # The server keeps its own scope, and with it leaves HEAD without a body.
        scope = dict(scope)
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        scope["path"] = path
        scope["state"] = {"request_id": request_id, "path_user": user, "headers": headers}
        started = time.perf_counter()

        def send_on(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
                if access_log.isEnabledFor(logging.INFO):
                    _log(scope, request_id, message["status"], started)
            return send(message)

        await self._app(scope, receive, send_on)

    def _fold(self, path: str) -> tuple[str, str | None]:
        """Return the path in its flat form, and the user id of the scoped form.

        Works on the path as sent: an encoded slash in an id is part of the id.
        No slash stays at the end, encoded or not: the router would redirect it.
        """
        user = None
        if not f"{path}/".startswith(self._beginning):
            segments = path.split("/")
            if self._is_scoped(segments):
                user = unquote(segments[self._user])
                segments[: len(self._scoped)] = self._flat
                path = "/".join(segments)
        if "%" in path:
            path = unquote(path)
        return path.rstrip("/") or "/", user

    def _is_scoped(self, segments: list[str]) -> bool:
        head = segments[: len(self._scoped)]
        if len(head) < len(self._scoped):
            return False
        head[self._user] = self._scoped[self._user]
        return head == self._scoped


def _log(scope: Scope, request_id: str, status: int, started: float) -> None:
    """Log one answer, without its query: people put tokens into queries."""
    milliseconds = (time.perf_counter() - started) * 1000
    access_log.info(
        "%s %s %d %.1f ms %s",
        scope["method"],
        scope["path"].encode("unicode_escape").decode(),
        status,
        milliseconds,
        request_id,
    )
