"""What a request can raise, and the problem document that answers it, in one table."""

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import orjson
from connexion import AsyncApp
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from handlers.problem_kinds import KINDS
from handlers.published_keys import KeysUnavailable
from handlers.security import InvalidToken
from handlers.validation import ContentTooLarge
from models.errors import NotFound, NotYours, Stale, Unavailable
from openapi.contract import Contract
from openapi.faults import BadRequest, UnsupportedMediaType

MEDIA_TYPE = "application/problem+json"
MAX_INSTANCE = 333  # bytes of the path, each of which may become three characters
MAX_SENTENCES = 5
KEYS_AWAY = "The keys that verify tokens cannot be had right now. Try again in a moment."
URI_CHARACTERS = "/%:@!$&'()*+,;=~"
STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Handler = Callable[[ConnexionRequest, Any], Awaitable[ConnexionResponse]]

logger = logging.getLogger("todo.problems")


def problem(
    request: ConnexionRequest,
    status: int,
    *,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> ConnexionResponse:
    """Answer with a problem document of the kind that has this status."""
    return ConnexionResponse(
        status_code=status,
        content_type=MEDIA_TYPE,
        mimetype=MEDIA_TYPE,
        body=document(request.scope, status, detail=detail, **extensions),
        headers=headers,
    )


def document(
    scope: Scope, status: int, *, detail: str | None = None, **extensions: Any
) -> bytes:
    """Write a problem document of the kind that has this status."""
    kind = KINDS[status]
    path = STRAY_PERCENT.sub(b"%25", scope["raw_path"][:MAX_INSTANCE])
    fields = {
        "type": kind.type,
        "title": kind.title,
        "status": status,
        "detail": detail or kind.detail,
        "instance": quote(path, safe=URI_CHARACTERS),
    }
    return orjson.dumps({**fields, **extensions})


def install(app: AsyncApp, contract: Contract) -> None:
    """Answer every exception that a request can raise, each with its problem."""
    for exception, handler in {
        BadRequest: _bad_request,
        InvalidToken: _unauthorized,
        NotYours: _plainly(403),
        NotFound: _plainly(404, "No task has this id."),
        Stale: _plainly(412),
        ContentTooLarge: _plainly(413),
        UnsupportedMediaType: _plainly(415),
        Unavailable: _unavailable(),
        KeysUnavailable: _unavailable(KEYS_AWAY),
        HTTPException: _routing(contract),
        ProblemException: _routing(contract),
        Exception: _fault,
    }.items():
        app.add_error_handler(exception, handler)


def _plainly(status: int, detail: str | None = None) -> Handler:
    async def handler(request: ConnexionRequest, _error: Exception) -> ConnexionResponse:
        return problem(request, status, detail=detail)

    return handler


async def _bad_request(request: ConnexionRequest, error: BadRequest) -> ConnexionResponse:
    first = error.faults[:MAX_SENTENCES]
    sentences = [f"{_place(fault)}: {fault['detail']}." for fault in first]
    if error.count > len(first):
        sentences.append(f"And {error.count - len(first)} more.")
    return problem(request, 400, detail=" ".join(sentences), errors=error.faults)


async def _unauthorized(request: ConnexionRequest, error: InvalidToken) -> ConnexionResponse:
    return problem(
        request, 401, detail=str(error), headers={"WWW-Authenticate": error.challenge}
    )


def _unavailable(detail: str | None = None) -> Handler:
    async def handler(
        request: ConnexionRequest, error: Unavailable | KeysUnavailable
    ) -> ConnexionResponse:
        headers = {"Retry-After": str(error.retry_after)}
        return problem(request, 503, detail=detail, headers=headers)

    return handler


async def _fault(request: ConnexionRequest, error: Exception) -> ConnexionResponse:
    logger.error("request %s failed", request.scope["state"]["request_id"], exc_info=error)
    return problem(request, 500)


def _routing(contract: Contract) -> Handler:
    """Answer what Connexion's router finds: no such path, no such method."""

    async def handler(request: ConnexionRequest, error: HTTPException) -> ConnexionResponse:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem(request, 404)
        if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return await _fault(request, error)
        # The router names the methods of the first route only, and takes a path
        # with a line break at its end for one without.
        methods = contract.methods(request.scope["path"])
        if not methods:
            return problem(request, 404)
        return problem(request, 405, headers={"Allow": allow(methods)})

    return handler


def allow(methods: list[str]) -> str:
    """Write an `Allow` header; HEAD comes with GET."""
    head = ["HEAD"] if "GET" in methods else []
    return ", ".join([*methods, *head])


def _place(fault: dict[str, str]) -> str:
    if fault.get("pointer") == "#":
        return "body"
    field = unquote(fault.get("pointer", "")).removeprefix("#/")
    place = fault.get("parameter", field.replace("~1", "/").replace("~0", "~"))
    return place or '""'
