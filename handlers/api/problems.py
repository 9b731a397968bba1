"""Error mapping: which problem document (RFC 9457) a request gets for what was raised."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote

import orjson
from starlette.responses import Response
from starlette.types import Scope

from handlers.api.problem_types import PROBLEM_TYPES
from handlers.api.request_body import ContentTooLarge
from handlers.auth import Forbidden, UserBlocked
from handlers.auth.jwks import KeysUnavailable
from handlers.auth.limited import TooManyInvalidTokens
from handlers.auth.rate_limiter import TooManyRequests
from handlers.auth.verifier import InvalidToken
from models.errors import (
    ChangesExpired,
    KeyReused,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    Unavailable,
    VersionConflict,
)
from openapi.errors import BadRequest, UnsupportedMediaType, parameter_error

MEDIA_TYPE = "application/problem+json"
MAX_INSTANCE = 333  # bytes of the path, each of which may become three characters
MAX_SENTENCES = 5
KEYS_UNAVAILABLE = (
    "The keys that verify tokens cannot be fetched right now. Try again in a moment."
)
INVALID_TOKENS = (
    "Too many invalid tokens were sent from your address. "
    "Send a valid one, or wait as long as Retry-After says."
)
URI_CHARACTERS = "/%:@!$&'()*+,;=~"
STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")

logger = logging.getLogger("todo.errors")


class PathNotFound(Exception):
    """The contract has no such path."""


class MethodNotAllowed(Exception):
    """The path exists, but not with this method."""

    def __init__(self, methods: Sequence[str]) -> None:
        """Name the methods of the path, in upper case; HEAD comes with GET."""
        super().__init__()
        head = ["HEAD"] if "GET" in methods else []
        self.allow = ", ".join([*methods, *head])


def problem(
    scope: Scope,
    slug: str,
    *,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """Return a response with a problem document of this type."""
    body = problem_document(scope, slug, detail=detail, **extensions)
    return Response(body, PROBLEM_TYPES[slug].status, headers, MEDIA_TYPE)


def problem_document(
    scope: Scope, slug: str, *, detail: str | None = None, **extensions: Any
) -> bytes:
    """Return a problem document of this type, encoded."""
    problem_type = PROBLEM_TYPES[slug]
    root_path = scope.get("root_path", "")  # optional in ASGI
    path = root_path.encode() + scope["raw_path"]
    path = STRAY_PERCENT.sub(b"%25", path[:MAX_INSTANCE])
    fields = {
        "type": f"{root_path}{problem_type.type}",
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": detail or problem_type.detail,
        "instance": quote(path, safe=URI_CHARACTERS),
        "request_id": scope["state"]["request_id"],
    }
    return orjson.dumps({**fields, **extensions})


def preflight_error(scope: Scope, headers: Sequence[str]) -> Response:
    """Return the response to a CORS preflight with these headers that are not allowed."""
    errors = [parameter_error(name, "not_allowed", "is not allowed") for name in headers]
    return error_response(scope, BadRequest(errors))


def error_response(scope: Scope, error: Exception) -> Response:
    """Return the response to a request that has raised this exception."""
    mapped = next(type_ for type_ in type(error).__mro__ if type_ in _RESPONSES)
    return _RESPONSES[mapped](scope, error)


def _problem(slug: str, detail: str | None = None) -> Callable[[Scope, Any], Response]:
    return lambda scope, _error: problem(scope, slug, detail=detail)


def _bad_request(scope: Scope, error: BadRequest) -> Response:
    first = error.errors[:MAX_SENTENCES]
    sentences = [f"{_location(item)}: {item['detail']}." for item in first]
    if error.count > len(first):
        sentences.append(f"And {error.count - len(first)} more.")
    return problem(scope, "bad-request", detail=" ".join(sentences), errors=error.errors)


def _location(error: dict[str, str]) -> str:
    """Return the name of a parameter or the path of a field, for people."""
    if error.get("pointer") == "#":
        return "body"
    field = unquote(error.get("pointer", "")).removeprefix("#/")
    name = error.get("parameter", field.replace("~1", "/").replace("~0", "~"))
    return name or '""'


def _unauthorized(scope: Scope, error: InvalidToken) -> Response:
    headers = {"WWW-Authenticate": error.challenge}
    return problem(scope, "unauthorized", detail=str(error), headers=headers)


def _method_not_allowed(scope: Scope, error: MethodNotAllowed) -> Response:
    return problem(scope, "method-not-allowed", headers={"Allow": error.allow})


def _retry_later(slug: str, detail: str | None = None) -> Callable[[Scope, Any], Response]:
    def respond(
        scope: Scope, error: TooManyRequests | Unavailable | KeysUnavailable
    ) -> Response:
        headers = {"Retry-After": str(error.retry_after)}
        return problem(scope, slug, detail=detail, headers=headers)

    return respond


def _internal_error(scope: Scope, error: Exception) -> Response:
    logger.error("the request failed", exc_info=error)
    return problem(scope, "internal-server-error")


_RESPONSES: dict[type[Exception], Callable[[Scope, Any], Response]] = {
    BadRequest: _bad_request,
    InvalidToken: _unauthorized,
    UserBlocked: _problem("user-blocked"),
    Forbidden: _problem("forbidden"),
    PermissionDenied: _problem("forbidden"),
    PathNotFound: _problem("not-found"),
    NotFound: _problem("not-found", "No task has this id."),
    MethodNotAllowed: _method_not_allowed,
    ChangesExpired: _problem("changes-expired"),
    VersionConflict: _problem("precondition-failed"),
    ContentTooLarge: _problem("content-too-large"),
    UnsupportedMediaType: _problem("unsupported-media-type"),
    KeyReused: _problem("idempotency-key-reused"),
    TooManyRequests: _retry_later("too-many-requests"),
    TooManyInvalidTokens: _retry_later("too-many-requests", INVALID_TOKENS),
    Unavailable: _retry_later("service-unavailable"),
    OutcomeUnknown: _retry_later("outcome-unknown"),
    KeysUnavailable: _retry_later("service-unavailable", KEYS_UNAVAILABLE),
    Exception: _internal_error,
}
