"""What browsers may do from another origin (the CORS protocol of the Fetch standard).

Preflights are Starlette's. What an ordinary answer says depends on nothing but the
origin, so it is worked out at start; Starlette does it anew for each answer, which takes
longer than validating a request.
"""

from collections.abc import Awaitable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS = ("Authorization", "Content-Type", "If-Match", "If-None-Match")
EXPOSED_HEADERS = (
    "ETag",
    "Link",
    "Location",
    "X-Total-Count",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
PREFLIGHT_SECONDS = 3600

# A cache must not give one origin what was meant for another (Fetch, 3.2.5). A second
# Vary beside an application's own makes one list with it (RFC 9110, 5.3).
VARY = (b"vary", b"Origin")


class Cors:
    """Lets the frontend's origins, and no others, read the answers."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Allow these origins, each spelled as browsers do."""
        self._app = app
        self._preflights = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=HEADERS,
            # Some frontends fetch with `credentials: "include"`; cookies are ignored.
            allow_credentials=True,
            max_age=PREFLIGHT_SECONDS,
        )
        common = [
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode()),
        ]
        self._to_strangers = [*common, VARY]
        self._to_frontends = {
            origin.encode(): [*common, (b"access-control-allow-origin", origin.encode()), VARY]
            for origin in origins
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a preflight, or say what the answer to an ordinary request shall add."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is None:
            scope["state"]["headers"].append(VARY)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            return self._preflights(scope, receive, send)
        else:
            scope["state"]["headers"] += self._to_frontends.get(origin, self._to_strangers)
        return self._app(scope, receive, send)
