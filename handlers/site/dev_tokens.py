"""Tokens for development, signed with the shared secret as a frontend would.

The page /docs gets one at a click, but only where `serve` has created the database and the
secret itself and listens on the loopback interface (see `cli.development`). Otherwise the
middleware is not installed, and its paths do not exist.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.api.problems import MethodNotAllowed, error_response, problem

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
USERS = ("alice", "bob")
LIFETIME = timedelta(hours=1)
DOCS_ONLY = "Only the page /docs, opened on this machine, is given a token."


def sign_token(
    secret: bytes,
    user: str,
    ttl: timedelta,
    *,
    user_claim: Sequence[str] = ("sub",),
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """Return a token for a user, signed (HS256) with the secret shared with Better Auth."""
    now = datetime.now(UTC)
    subject: Any = user
    for name in reversed(user_claim):
        subject = {name: subject}
    claims = {**subject, "iat": now, "exp": now + ttl, "iss": issuer, "aud": audience}
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        secret,
        algorithm="HS256",
    )


class DevTokensMiddleware:
    """Issues tokens to the page /docs at `POST /docs/token/{user}`, and to no other client."""

    def __init__(self, app: ASGIApp, *, sign: Callable[[str, timedelta], str]) -> None:
        """Sign with `sign`, which takes a user id and the lifetime of the token."""
        self._app = app
        self._sign = sign
        self._users = {f"/docs/token/{user}": user for user in USERS}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Respond to a request for a token, or pass the request on."""
        user = self._users.get(scope["path"]) if scope["type"] == "http" else None
        if user is None:
            return self._app(scope, receive, send)
        return self._respond(scope, user)(scope, receive, send)

    def _respond(self, scope: Scope, user: str) -> Response:
        if scope["method"] != "POST":
            return error_response(scope, MethodNotAllowed(["POST"]))
        if not _is_same_origin(Headers(scope=scope)):
            return problem(scope, "forbidden", detail=DOCS_ONLY)
        body = orjson.dumps({"token": self._sign(user, LIFETIME)})
        headers = {"Cache-Control": "no-store"}
        return Response(body, 201, headers, "application/json")


def _is_same_origin(headers: Headers) -> bool:
    """Return whether a page of this service sends the request, at a loopback name.

    Browsers send `Sec-Fetch-Site`, and scripts cannot. The name of another website can be
    made to resolve to this machine (DNS rebinding), but `Host` still has that name.
    """
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return False
    return name in LOOPBACK and headers.get("sec-fetch-site") == "same-origin"
