"""Every error of the service as a problem document (RFC 9457), in one table."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
from connexion import AsyncApp
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from starlette.exceptions import HTTPException

from handlers.security import InvalidToken
from handlers.validation import ContentTooLarge
from models.errors import NotFound, NotYours, Stale, Unavailable
from openapi.contract import Contract
from openapi.requests import BadRequest, UnsupportedMediaType

MEDIA_TYPE = "application/problem+json"
MAX_INSTANCE = 1000
URI_CHARACTERS = "/%:@!$&'()*+,;=~"

Handler = Callable[[ConnexionRequest, Any], Awaitable[ConnexionResponse]]

logger = logging.getLogger("todo.problems")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its type is the page `/problems/{slug}`."""

    status: int
    slug: str
    title: str
    detail: str
    advice: str

    @property
    def type(self) -> str:
        """The problem's `type`: the path of the page that explains it."""
        return f"/problems/{self.slug}"


KINDS = {
    kind.status: kind
    for kind in (
        Kind(
            400,
            "bad-request",
            "Bad request",
            "The request breaks the contract.",
            "Look at `errors`: each entry names a field of the body or a "
            "parameter, and what is wrong with it. Correct them and try again.",
        ),
        Kind(
            401,
            "unauthorized",
            "Unauthorized",
            "The token is missing.",
            "Send `Authorization: Bearer` and a token that has not expired. "
            "The frontend gets a fresh one from Better Auth.",
        ),
        Kind(
            403,
            "forbidden",
            "Forbidden",
            "This belongs to another user.",
            "Ask for your own tasks only. In `/api/{user_id}/tasks` the "
            "user id must be the `sub` of your token.",
        ),
        Kind(
            404,
            "not-found",
            "Not found",
            "There is nothing at this path.",
            "The task has been deleted or never existed, or the path is "
            "mistyped. List your tasks to see those that exist.",
        ),
        Kind(
            405,
            "method-not-allowed",
            "Method not allowed",
            "This path does not know this method.",
            "The `Allow` header lists the methods that the path knows.",
        ),
        Kind(
            412,
            "precondition-failed",
            "Precondition failed",
            "The task has changed since you read it. Read it again, then repeat the change.",
            "Somebody, or another device of yours, was faster. Read the task "
            "again, apply your change to what it is now, and send the new `ETag`.",
        ),
        Kind(
            413,
            "content-too-large",
            "Content too large",
            "The body must be at most 65,536 bytes.",
            "No task is that large. Send less.",
        ),
        Kind(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            "The body must be application/json in UTF-8.",
            "Send `Content-Type: application/json` and an uncompressed JSON body in UTF-8.",
        ),
        Kind(
            500,
            "internal-server-error",
            "Internal server error",
            "Something went wrong on our side. Quote the X-Request-Id when you report it.",
            "This is a fault of the service and has been logged. A retry may "
            "help; if it does not, report the `X-Request-Id`.",
        ),
        Kind(
            503,
            "service-unavailable",
            "Service unavailable",
            "The database cannot be reached right now. Try again in a moment.",
            "Wait as long as `Retry-After` says, then try again. A change may "
            "have happened or not: look before you repeat it.",
        ),
    )
}


def problem(
    request: ConnexionRequest,
    status: int,
    *,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> ConnexionResponse:
    """Answer with a problem document of the kind that has this status."""
    kind = KINDS[status]
    document = {
        "type": kind.type,
        "title": kind.title,
        "status": status,
        "detail": detail or kind.detail,
        "instance": quote(request.scope["raw_path"], safe=URI_CHARACTERS)[:MAX_INSTANCE],
        **extensions,
    }
    return ConnexionResponse(
        status_code=status,
        content_type=MEDIA_TYPE,
        mimetype=MEDIA_TYPE,
        body=orjson.dumps(document),
        headers=headers,
    )


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
        Unavailable: _unavailable,
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
    sentences = [f"{_place(fault)}: {fault['detail']}." for fault in error.faults]
    return problem(request, 400, detail=" ".join(sentences), errors=error.faults)


async def _unauthorized(request: ConnexionRequest, error: InvalidToken) -> ConnexionResponse:
    return problem(
        request, 401, detail=str(error), headers={"WWW-Authenticate": error.challenge}
    )


async def _unavailable(request: ConnexionRequest, error: Unavailable) -> ConnexionResponse:
    return problem(request, 503, headers={"Retry-After": str(error.retry_after)})


async def _fault(request: ConnexionRequest, error: Exception) -> ConnexionResponse:
    logger.error("request %s failed", request.scope["state"]["request_id"], exc_info=error)
    return problem(request, 500)


def _routing(contract: Contract) -> Handler:
    """Answer what Connexion's router finds: no such path, no such method."""

    async def handler(request: ConnexionRequest, error: HTTPException) -> ConnexionResponse:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of the first route only.
            methods = contract.methods(request.scope["path"])
            return problem(request, 405, headers={"Allow": allow(methods)})
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem(request, 404)
        return await _fault(request, error)

    return handler


def allow(methods: list[str]) -> str:
    """Write an `Allow` header; HEAD comes with GET."""
    head = ["HEAD"] if "GET" in methods else []
    return ", ".join([*methods, *head])


def _place(fault: dict[str, str]) -> str:
    place = fault.get("parameter") or fault["pointer"].removeprefix("#/")
    return "body" if place == "#" else place
