"""CORS: what browsers may do from another origin (Fetch standard, 3.2).

Starlette's middleware responds to preflights. The headers of other responses depend on the
origin only, so they are built at start; Starlette builds them again for each response, which
takes longer than validating a request.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware import cors as starlette_cors
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "X-Requested-With",
    "traceparent",
)
EXPOSED_HEADERS = (
    "ETag",
    "Link",
    "Location",
    "X-Total-Count",
    "Retry-After",
    "X-Request-Id",
    "WWW-Authenticate",
    "Allow",
    "Idempotency-Replayed",
    "RateLimit",
    "RateLimit-Policy",
)
PREFLIGHT_SECONDS = 3600
PREFLIGHT_HEADERS = {
    "origin": "Origin",
    "method": "Access-Control-Request-Method",
    "headers": "Access-Control-Request-Headers",
    "private-network": "Access-Control-Request-Private-Network",
}
"""The header of a preflight that Starlette objects to, by its name for the reason."""

# A cache must not serve one origin's response to another (Fetch, 3.2.5). A second Vary
# beside an application's own forms one list with it (RFC 9110, 5.3).
VARY = (b"vary", b"Origin")

RawHeaders = Sequence[tuple[bytes, bytes]]
HeadersByOrigin = Mapping[bytes | None, RawHeaders]

_COMMON = [
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode()),
]
OTHER_ORIGIN: RawHeaders = [*_COMMON, VARY]
"""The headers of a response to a request from an origin that is not allowed."""


def headers_by_origin(allow_origins: Sequence[str]) -> HeadersByOrigin:
    """Return the headers of a response by the `Origin` of the request, or None if it has none.

    For origins that are not allowed, there is OTHER_ORIGIN.
    """
    return {None: [VARY]} | {
        origin.encode(): [*_COMMON, (b"access-control-allow-origin", origin.encode()), VARY]
        for origin in allow_origins
    }


Reject = Callable[[Scope, Sequence[str]], Response]
"""Takes a request and the names of the headers that are not allowed."""


class CORSMiddleware:
    """Allows the frontend's origins, and no others, to read responses."""

    def __init__(self, app: ASGIApp, *, allow_origins: Sequence[str], reject: Reject) -> None:
        """Allow these origins, each as browsers serialise it.

        `reject` responds to a preflight for another origin, method or header.
        """
        self._app = app
        self._reject = reject
        self._preflight = starlette_cors.CORSMiddleware(
            app,
            allow_origins=allow_origins,
            allow_methods=METHODS,
            allow_headers=HEADERS,
            # Some frontends fetch with `credentials: "include"`; cookies are ignored.
            allow_credentials=True,
            max_age=PREFLIGHT_SECONDS,
        )
        self._headers = headers_by_origin(allow_origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Respond to a preflight, or add headers to the response to any other request."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if (
            origin is not None
            and scope["method"] == "OPTIONS"
            and b"access-control-request-method" in headers
        ):
            return self._respond_to_preflight(scope, origin)(scope, receive, send)
        scope["state"]["headers"] += self._headers.get(origin, OTHER_ORIGIN)
        return self._app(scope, receive, send)

    def _respond_to_preflight(self, scope: Scope, origin: bytes) -> Response:
        response = self._preflight.preflight_response(Headers(scope=scope))
        if response.status_code == HTTPStatus.OK:
            return response
        reasons = bytes(response.body).decode().removeprefix("Disallowed CORS ").split(", ")
        scope["state"]["headers"] += self._headers.get(origin, OTHER_ORIGIN)
        return self._reject(scope, [PREFLIGHT_HEADERS[reason] for reason in reasons])
