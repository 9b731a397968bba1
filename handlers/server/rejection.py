"""Responses to requests that the application never sees."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from handlers.api.problem_types import PROBLEM_TYPES
from handlers.api.problems import MEDIA_TYPE, problem_document
from handlers.middleware.cors import OTHER_ORIGIN, HeadersByOrigin
from handlers.server.stats import connection_stats

logger = logging.getLogger("todo.server")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request, or a connection, is rejected."""

    slug: str
    """The problem type."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Members of the problem document, in addition to those of its type."""
    headers: Mapping[str, str] = field(default_factory=dict)
    level: int = logging.WARNING
    """At which it is logged."""

    def __post_init__(self) -> None:
        """Count from 0, so that the first one is seen."""
        connection_stats.rejections[self.slug] = 0

    def response(
        self, root_path: str, cors: HeadersByOrigin, received: Iterable[tuple[bytes, bytes]]
    ) -> bytes:
        """Return the response, after which the connection is closed.

        `received` has the headers of the request as far as they are known.
        """
        connection_stats.rejections[self.slug] += 1
        request_id = secrets.token_hex(16)
        fields = {"fields": {"request_id": request_id}}
        logger.log(
            self.level, "request %s is rejected: %s", request_id, self.slug, extra=fields
        )
        scope = {
            "raw_path": b"/",
            "root_path": root_path,
            "state": {"request_id": request_id},
        }
        body = problem_document(scope, self.slug, **self.extensions)
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "x-content-type-options": "nosniff",
            "connection": "close",
            **self.headers,
        }
        for name, value in cors.get(dict(received).get(b"origin"), OTHER_ORIGIN):
            headers[name.decode()] = value.decode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return STATUS_LINE[PROBLEM_TYPES[self.slug].status] + f"{lines}\r\n".encode() + body


_UNREADABLE = "cannot be read as HTTP: in an address, percent-encode what is not ASCII"
MALFORMED = Rejection(
    "bad-request",
    {
        "detail": f"request: {_UNREADABLE}.",
        "errors": [{"parameter": "request", "code": "malformed", "detail": _UNREADABLE}],
    },
)
URI_TOO_LONG = Rejection("uri-too-long")
HEAD_TOO_LARGE = Rejection("request-header-fields-too-large")
# At a lower level, since an attack causes thousands of them; /metrics counts them.
TOO_SLOW = Rejection("request-timeout", level=logging.DEBUG)
OVERLOADED = Rejection(
    "service-unavailable",
    {"detail": "Too many connections are open. Try again in a moment."},
    {"retry-after": "1"},
    logging.DEBUG,
)
