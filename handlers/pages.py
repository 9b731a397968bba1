"""The pages of the service, and the documents and files that they lead to.

Everything is read and rendered once, at start, and served from memory: the
contract as YAML and JSON, Swagger UI to try it out, a reference to read it, a
page for every problem type, and a start page that points to them all.
"""

import mimetypes
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.documents import Choice, Document
from handlers.problem_kinds import KINDS
from handlers.problems import MEDIA_TYPE, allow, document
from handlers.rendering import Templates
from openapi.contract import Contract

FILES = Path(__file__).with_name("files")
SWAGGER_UI_FILES = ("stylesheets/swagger-ui.css", "javascripts/swagger-ui-bundle.js")

# Nothing may come from, or go to, anywhere but this service, and nothing that
# is written into a page is ever run.
PLAIN = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI asks this service, and has its icons as data in its stylesheet.
TRY_IT_OUT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Pages:
    """Answers for the paths of its pages, and passes on everything else."""

    def __init__(
        self, app: ASGIApp, *, contract: Contract, development: str | None = None
    ) -> None:
        """Render every page of the service that serves this contract.

        In development, `development` is the origin that the service is reached at.
        """
        self._app = app
        self._pages: Mapping[str, Document | Choice] = dict(_render(contract, development))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page, or pass the request on."""
        page = self._pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "GET":
            await page.answer(Headers(scope=scope))(scope, receive, send)
        else:
            headers = {"Allow": allow(["GET"])}
            refusal = Response(document(scope, 405), 405, headers, MEDIA_TYPE)
            await refusal(scope, receive, send)


def _render(
    contract: Contract, development: str | None
) -> Iterator[tuple[str, Document | Choice]]:
    write = partial(Templates(contract).render, development=development)
    yield "/", _html(write("index.html"))
    yield "/docs", _html(write("docs.html"), policy=TRY_IT_OUT)
    yield "/reference", _html(write("reference.html"))
    yield "/openapi.yaml", _static(contract.text, "application/yaml")
    yield "/openapi.json", _static(orjson.dumps(contract.document), "application/json")
    kinds = [kind.as_json() for kind in KINDS.values()]
    yield "/problems", _either(kinds, write("problems.html"))
    for kind in KINDS.values():
        yield kind.type, _either(kind.as_json(), write("problem.html", kind=kind))
    for file in filter(Path.is_file, FILES.rglob("*")):
        yield f"/{file.relative_to(FILES).as_posix()}", _file(file)
    yield "/favicon.ico", _file(FILES / "favicon.svg")  # which some ask for unseen
    for name in SWAGGER_UI_FILES:
        file = _swagger_ui() / name
        yield f"/docs/{file.name}", _file(file)


def _either(value: object, text: str) -> Choice:
    """Offer JSON to programs, and HTML to whoever asks for it as browsers do."""
    return Choice(
        _static(orjson.dumps(value), "application/json", "Accept"),
        _static(text.encode(), "text/html", "Accept"),
    )


def _html(text: str, *, policy: str = PLAIN) -> Document:
    return _static(text.encode(), "text/html", policy=policy)


def _file(path: Path) -> Document:
    return _static(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "text/plain")


def _static(content: bytes, media_type: str, *vary: str, policy: str = PLAIN) -> Document:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Document(content, media_type, headers, *vary)


def _swagger_ui() -> Path:
    """Find Swagger UI's files without importing the package that brings them."""
    spec = find_spec("mkdocs_swagger_ui_tag")
    if spec is None or spec.origin is None:
        msg = "mkdocs-swagger-ui-tag is not installed: run `make install`"
        raise FileNotFoundError(msg)
    return Path(spec.origin).with_name("swagger-ui")
