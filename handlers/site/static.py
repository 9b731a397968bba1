"""Responses that never change while the service runs, built once at start."""

import gzip
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response

from handlers.api.conditional import etag_of_bytes, not_modified
from handlers.api.negotiation import accepts_gzip, preferred_media_type

MIN_COMPRESSED = 1024  # bytes; below that, the headers outweigh what is saved
HEADERS_OF_304 = ("cache-control", "etag", "vary")


class StaticResponse:
    """Content of one media type, plain and compressed."""

    def __init__(
        self, content: bytes, media_type: str, headers: Mapping[str, str], *vary: str
    ) -> None:
        """Build the responses; `headers` are added to those for caching.

        `vary` names the request headers that this content was selected by.
        """
        vary = (*vary, "Accept-Encoding")
        headers = {"Cache-Control": "no-cache", "Vary": ", ".join(vary), **headers}
        self.media_type = media_type
        self._plain = self._compressed = _response(content, media_type, headers)
        if len(content) >= MIN_COMPRESSED:
            headers = {"Content-Encoding": "gzip", **headers}
            self._compressed = _response(gzip.compress(content, mtime=0), media_type, headers)

    def respond(self, request: Headers) -> Response:
        """Return the response to a GET: 304 for a current `If-None-Match`, gzip if accepted."""
        is_compressed = accepts_gzip(request.get("accept-encoding"))
        response = self._compressed if is_compressed else self._plain
        if not not_modified(response.headers["etag"], request.get("if-none-match")):
            return response
        return Response(
            status_code=304,
            headers={name: response.headers[name] for name in HEADERS_OF_304},
        )


class NegotiatedResponse:
    """The same in several media types, selected by `Accept` (RFC 9110, 12.5.1)."""

    def __init__(self, *variants: StaticResponse) -> None:
        """Offer these variants; the first is the default."""
        self._variants = {variant.media_type: variant for variant in variants}

    def respond(self, request: Headers) -> Response:
        """Return the response in the media type that the client prefers."""
        best = preferred_media_type(request.get("accept"), [*self._variants])
        return self._variants[best].respond(request)


def _response(content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "ETag": etag_of_bytes(content)}
    return Response(content, headers=headers, media_type=media_type)
