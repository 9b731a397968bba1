"""Documents that never change while the service runs, as HTTP serves them."""

import gzip
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

from handlers.preconditions import etag_of_bytes, is_unchanged

WORTH_COMPRESSING = 1024  # bytes; below that, the headers are what costs
OF_A_304 = ("cache-control", "etag", "vary")


class Document:
    """Bytes of one media type, compressed once for all who accept that."""

    def __init__(
        self, content: bytes, media_type: str, headers: Mapping[str, str], *vary: str
    ) -> None:
        """Prepare the answers; `headers` are added to those that caching needs.

        `vary` names the request headers that led to this document.
        """
        vary = (*vary, "Accept-Encoding")
        headers = {"Cache-Control": "no-cache", "Vary": ", ".join(vary), **headers}
        self.media_type = media_type
        self._plain = self._compressed = _answer(content, media_type, headers)
        if len(content) >= WORTH_COMPRESSING:
            headers = {"Content-Encoding": "gzip", **headers}
            self._compressed = _answer(gzip.compress(content, mtime=0), media_type, headers)

    def answer(self, request: Headers) -> Response:
        """Answer a GET: 304 if the client has this already, gzip if it accepts that."""
        encodings = parse_accept_header(request.get("accept-encoding"), Accept)
        response = self._compressed if encodings.quality("gzip") else self._plain
        if not is_unchanged(response.headers["etag"], request.get("if-none-match")):
            return response
        return Response(
            status_code=304,
            headers={name: response.headers[name] for name in OF_A_304},
        )


class Choice:
    """The same in several media types; the client chooses by `Accept` (RFC 9110, 12.5.1)."""

    def __init__(self, *documents: Document) -> None:
        """Offer these; the first is for whoever takes anything, or nothing of this."""
        self._documents = {document.media_type: document for document in documents}

    def answer(self, request: Headers) -> Response:
        """Answer with the document that the client likes best."""
        accepted = parse_accept_header(request.get("accept"), MIMEAccept)
        best = accepted.best_match(self._documents, default=next(iter(self._documents)))
        return self._documents[best].answer(request)


def _answer(content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "ETag": etag_of_bytes(content)}
    return Response(content, headers=headers, media_type=media_type)
