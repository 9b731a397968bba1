"""What all requests and responses have in common: an id, a canonical path, observers."""

import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENCODED_SLASH = re.compile("%2[Ff]")
NOSNIFF = (b"x-content-type-options", b"nosniff")

Observer = Callable[[Scope, int, float], None]
"""Called with a request, the status of its response, and the seconds until that began.

The request has the method that was sent: the application sees GET in place of HEAD.
"""

current_request: ContextVar[Scope] = ContextVar("current_request")
"""The request that the current task handles; the server has a task for each."""


class RequestContextMiddleware:
    """Gives each request an id and its path one form, and reports the response to observers.

    `scope["path"]` becomes the canonical path: never user-scoped, without a trailing slash.
    `scope["state"]` gets `request_id`, `path_user` (the user id of a user-scoped path, or
    None) and `headers`: headers that inner layers append there are added to every response.
    """

    def __init__(
        self, app: ASGIApp, *, user_scope: tuple[str, str], observers: Sequence[Observer] = ()
    ) -> None:
        """Rewrite paths that begin with the first of `user_scope` to begin with the second."""
        self._app = app
        self._observers = observers
        prefix, alias_of = user_scope
        self._scoped = prefix.split("/")
        self._canonical = alias_of.split("/")
        self._canonical_prefix = f"{alias_of}/"
        self._user_index = self._scoped.index("{user_id}")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request, or pass on any other event.

        It returns the application's awaitable: a coroutine of its own would cost more.
        """
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        path, user = self._normalise_path(scope["raw_path"].decode("latin-1"))
        # Only identifies the request, so it need not be unpredictable.
        request_id = random.getrandbits(128).to_bytes(16).hex()
        headers = [(b"x-request-id", request_id.encode()), NOSNIFF]
        scope = dict(scope)
        scope["path"] = path
        scope["state"] = {"request_id": request_id, "path_user": user, "headers": headers}
        observed = scope
        if scope["method"] == "HEAD":
            # The server keeps its own scope, and sends no body in response to HEAD.
            scope = {**scope, "method": "GET"}
        current_request.set(scope)
        observers = self._observers
        started = time.perf_counter()

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
                for observe in observers:
                    observe(observed, message["status"], time.perf_counter() - started)
            return send(message)

        return self._app(scope, receive, send_with_headers)

    def _normalise_path(self, path: str) -> tuple[str, str | None]:
        """Return the canonical path, and the user id of a user-scoped path.

        Works on the path as sent: an encoded slash in an id is part of the id.
        """
        user = None
        if not f"{path}/".startswith(self._canonical_prefix):
            segments = path.split("/")
            if self._is_user_scoped(segments):
                user = unquote(segments[self._user_index])
                segments[: len(self._scoped)] = self._canonical
                path = "/".join(segments)
        if "%" in path:
            # A decoded slash is part of a segment, so it must not separate two.
            path = unquote(ENCODED_SLASH.sub("%252F", path))
        return path.rstrip("/") or "/", user

    def _is_user_scoped(self, segments: list[str]) -> bool:
        head = segments[: len(self._scoped)]
        if len(head) < len(self._scoped):
            return False
        head[self._user_index] = self._scoped[self._user_index]
        return head == self._scoped
