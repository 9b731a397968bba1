"""Pages and documents that never change while the service runs.

Everything is read and rendered once, at start, and served as bytes: the
contract as YAML and JSON, Swagger UI from local files, a page for every
problem type, and a start page that points to them.
"""

import html
import mimetypes
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.problem_kinds import KINDS, Kind
from handlers.problems import MEDIA_TYPE, allow, document
from openapi.contract import Contract

TEMPLATES = Path(__file__).with_name("templates")

SWAGGER_UI_FILES = (
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-32x32.png",
)

# Swagger UI sets style attributes and shows images from data URLs; nothing
# may come from, or go to, anywhere but this service.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Pages:
    """Answers for the paths of its pages, and passes on everything else."""

    def __init__(self, app: ASGIApp, *, contract: Contract) -> None:
        """Render every page of the service that serves this contract."""
        self._app = app
        self._pages: Mapping[str, Response] = dict(_render(contract))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page, or pass the request on."""
        page = self._pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "GET":
            await page(scope, receive, send)
        else:
            headers = {"Allow": allow(["GET"])}
            refusal = Response(document(scope, 405), 405, headers, MEDIA_TYPE)
            await refusal(scope, receive, send)


def _render(contract: Contract) -> Iterator[tuple[str, Response]]:
    yield "/", _page("index.html", version=contract.document["info"]["version"])
    yield "/openapi.yaml", _static(contract.text, "application/yaml")
    yield "/openapi.json", _static(orjson.dumps(contract.document), "application/json")
    yield "/docs", _page("docs.html")
    yield (
        "/docs/start.js",
        _static(TEMPLATES.joinpath("docs.js").read_bytes(), "text/javascript"),
    )
    for name in SWAGGER_UI_FILES:
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        yield f"/docs/{name}", _static((_swagger_ui() / name).read_bytes(), media_type)
    for kind in KINDS.values():
        yield kind.type, _problem_page(kind)


def _problem_page(kind: Kind) -> Response:
    advice = html.escape(kind.advice)
    return _page(
        "problem.html",
        status=str(kind.status),
        title=html.escape(kind.title),
        # What stands between backticks is code.
        advice="".join(
            f"<code>{part}</code>" if index % 2 else part
            for index, part in enumerate(advice.split("`"))
        ),
    )


def _page(template: str, **values: str) -> Response:
    text = Template(TEMPLATES.joinpath(template).read_text()).substitute(values)
    return _static(text.encode(), "text/html")


def _static(content: bytes, media_type: str) -> Response:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, headers=headers, media_type=media_type)


def _swagger_ui() -> Path:
    """Find Swagger UI's files without importing the package that brings them."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        msg = "swagger-ui-py is not installed: run `make install`"
        raise FileNotFoundError(msg)
    return Path(spec.origin).with_name("static")
