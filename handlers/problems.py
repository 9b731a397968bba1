"""What a request can raise, and the problem document that answers it, in one table."""

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import orjson
from connexion import AsyncApp
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
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

Answer = Callable[[Scope, Any], Response]

logger = logging.getLogger("todo.problems")


def problem(
    scope: Scope,
    status: int,
    *,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """Answer with a problem document of the kind that has this status."""
    body = document(scope, status, detail=detail, **extensions)
    return Response(body, status, headers, MEDIA_TYPE)


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


class Problems:
    """Answers every exception that a request can raise, each with its problem."""

    def __init__(self, contract: Contract) -> None:
        """Know what the contract says of paths and methods."""
        self._contract = contract
        self._answers: dict[type[Exception], Answer] = {
            BadRequest: _bad_request,
            InvalidToken: _unauthorized,
            NotYours: _plainly(403),
            NotFound: _plainly(404, "No task has this id."),
            Stale: _plainly(412),
            ContentTooLarge: _plainly(413),
            UnsupportedMediaType: _plainly(415),
            Unavailable: _unavailable(),
            KeysUnavailable: _unavailable(KEYS_AWAY),
            HTTPException: self._routing,
            ProblemException: self._routing,
            Exception: _fault,
        }

    def answer(self, scope: Scope, error: Exception) -> Response:
        """Return the answer to a request that has raised this."""
        kind = next(kind for kind in type(error).__mro__ if kind in self._answers)
        return self._answers[kind](scope, error)

    def install(self, app: AsyncApp) -> None:
        """Have Connexion answer like this, too."""

        async def handler(request: ConnexionRequest, error: Exception) -> ConnexionResponse:
            response = self.answer(request.scope, error)
            del response.headers["content-type"], response.headers["content-length"]
            return ConnexionResponse(
                status_code=response.status_code,
                content_type=MEDIA_TYPE,
                mimetype=MEDIA_TYPE,
                body=response.body,
                headers=dict(response.headers),
            )

        for kind in self._answers:
            app.add_error_handler(kind, handler)

    def _routing(self, scope: Scope, error: HTTPException) -> Response:
        """Answer what Connexion's router finds: no such path, no such method."""
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem(scope, 404)
        if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return _fault(scope, error)
        # The router names the methods of the first route only, and takes a path
        # with a line break at its end for one without.
        methods = self._contract.methods(scope["path"])
        if not methods:
            return problem(scope, 404)
        return problem(scope, 405, headers={"Allow": allow(methods)})


def _plainly(status: int, detail: str | None = None) -> Answer:
    return lambda scope, _error: problem(scope, status, detail=detail)


def _bad_request(scope: Scope, error: BadRequest) -> Response:
    first = error.faults[:MAX_SENTENCES]
    sentences = [f"{_place(fault)}: {fault['detail']}." for fault in first]
    if error.count > len(first):
        sentences.append(f"And {error.count - len(first)} more.")
    return problem(scope, 400, detail=" ".join(sentences), errors=error.faults)


def _unauthorized(scope: Scope, error: InvalidToken) -> Response:
    headers = {"WWW-Authenticate": error.challenge}
    return problem(scope, 401, detail=str(error), headers=headers)


def _unavailable(detail: str | None = None) -> Answer:
    def answer(scope: Scope, error: Unavailable | KeysUnavailable) -> Response:
        headers = {"Retry-After": str(error.retry_after)}
        return problem(scope, 503, detail=detail, headers=headers)

    return answer


def _fault(scope: Scope, error: Exception) -> Response:
    logger.error("request %s failed", scope["state"]["request_id"], exc_info=error)
    return problem(scope, 500)


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
