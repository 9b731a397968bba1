"""What makes development comfortable, and must never be there in production.

Tokens are signed here with the shared secret, as Better Auth's users would. The
page /docs gets one at a click, but only where `serve` has made the database and
the secret itself and listens to this machine alone (see `cli.py`); elsewhere
nobody builds `Tokens`, and its paths do not exist.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.problems import MEDIA_TYPE, allow, document

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
USERS = ("alice", "bob")
LIFETIME = timedelta(hours=1)
FOR_THE_PAGE = "Only the page /docs, opened on this machine, is given a token."


def sign(
    secret: bytes,
    user: str,
    ttl: timedelta,
    *,
    user_claim: Sequence[str] = ("sub",),
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """Sign a token for a user with the secret that is shared with Better Auth."""
    now = datetime.now(UTC)
    named: Any = user
    for name in reversed(user_claim):
        named = {name: named}
    claims = {**named, "iat": now, "exp": now + ttl, "iss": issuer, "aud": audience}
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        secret,
        algorithm="HS256",
    )


class Tokens:
    """Gives the page /docs a token at `POST /docs/token/{user}`, and nobody else."""

    def __init__(self, app: ASGIApp, sign_for: Callable[[str, timedelta], str]) -> None:
        """Sign with `sign_for`, which takes a user and how long the token is good for."""
        self._app = app
        self._sign_for = sign_for
        self._users = {f"/docs/token/{user}": user for user in USERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a token, or pass the request on."""
        user = self._users.get(scope["path"]) if scope["type"] == "http" else None
        if user is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, user)(scope, receive, send)

    def _answer(self, scope: Scope, user: str) -> Response:
        if scope["method"] != "POST":
            headers = {"Allow": allow(["POST"])}
            return Response(document(scope, 405), 405, headers, MEDIA_TYPE)
        if not _is_from_our_page(Headers(scope=scope)):
            refusal = document(scope, 403, detail=FOR_THE_PAGE)
            return Response(refusal, 403, media_type=MEDIA_TYPE)
        body = orjson.dumps({"token": self._sign_for(user, LIFETIME)})
        headers = {"Cache-Control": "no-store"}
        return Response(body, 201, headers, "application/json")


def _is_from_our_page(headers: Headers) -> bool:
    """Tell whether a page of this very service asks, by a name that nobody else can have.

    Browsers send `Sec-Fetch-Site`, and no script can. Another website's name may
    be made to lead to this machine (DNS rebinding), but it stays in `Host`.
    """
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return False
    return name in LOOPBACK and headers.get("sec-fetch-site") == "same-origin"
