"""The pages of the service, the contract as a file, and the static files of both.

Everything is read and rendered once, at start, and served from memory: the contract as YAML
and JSON, Swagger UI, a reference, a page for every problem type, and a start page.
"""

import mimetypes
from collections.abc import Awaitable, Iterator, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.api.problem_types import PROBLEM_TYPES
from handlers.api.problems import MethodNotAllowed, error_response
from handlers.site.rendering import Templates
from handlers.site.static import NegotiatedResponse, StaticResponse
from openapi.contract import Contract

STATIC = Path(__file__).with_name("static")
SWAGGER_UI_FILES = ("stylesheets/swagger-ui.css", "javascripts/swagger-ui-bundle.js")

# Everything comes from this service, and no inline script ever runs.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI sends requests to this service, and has its icons as data URLs.
SWAGGER_UI_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Page = StaticResponse | NegotiatedResponse


class PagesMiddleware:
    """Serves the paths of its pages, and passes on everything else."""

    def __init__(self, app: ASGIApp, *, pages: Mapping[str, Page]) -> None:
        """Serve these pages, by their paths."""
        self._app = app
        self._pages = pages

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a page, or pass the request on."""
        page = self._pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None:
            return self._app(scope, receive, send)
        if scope["method"] == "GET":
            return page.respond(Headers(scope=scope))(scope, receive, send)
        return error_response(scope, MethodNotAllowed(["GET"]))(scope, receive, send)


def render_pages(
    contract: Contract, *, root_path: str = "", development: str | None = None
) -> dict[str, Page]:
    """Return every page by its path, rendered for this contract.

    Links in them begin with `root_path`, the path prefix under which clients see the service.
    In development, `development` is its origin on this machine.
    """
    return dict(_render(contract.below(root_path), root_path, development))


def _render(
    contract: Contract, root_path: str, development: str | None
) -> Iterator[tuple[str, Page]]:
    render = partial(Templates(contract, root_path).render, development=development)
    yield "/", _html(render("index.html"))
    yield "/docs", _html(render("docs.html"), policy=SWAGGER_UI_POLICY)
    yield "/reference", _html(render("reference.html"))
    yield "/openapi.yaml", _static(contract.text, "application/yaml")
    yield "/openapi.json", _static(orjson.dumps(contract.document), "application/json")
    types = [problem_type.as_json(root_path) for problem_type in PROBLEM_TYPES.values()]
    yield "/problems", _negotiated(types, render("problems.html"))
    for problem_type in PROBLEM_TYPES.values():
        html = render("problem.html", problem=problem_type)
        yield problem_type.type, _negotiated(problem_type.as_json(root_path), html)
    yield from static_files().items()


@cache
def static_files() -> dict[str, StaticResponse]:
    """Return every static file by its path, read and compressed once per process."""
    files = {
        f"/{file.relative_to(STATIC).as_posix()}": file
        for file in filter(Path.is_file, STATIC.rglob("*"))
    }
    files["/favicon.ico"] = STATIC / "favicon.svg"  # some clients request it unasked
    files |= {f"/docs/{Path(name).name}": _swagger_ui() / name for name in SWAGGER_UI_FILES}
    return {path: _file(file) for path, file in files.items()}


def _negotiated(value: object, html: str) -> NegotiatedResponse:
    """Offer JSON by default, and HTML to clients that ask for it as browsers do."""
    return NegotiatedResponse(
        _static(orjson.dumps(value), "application/json", "Accept"),
        _static(html.encode(), "text/html", "Accept"),
    )


def _html(text: str, *, policy: str = PAGE_POLICY) -> StaticResponse:
    return _static(text.encode(), "text/html", policy=policy)


def _file(path: Path) -> StaticResponse:
    return _static(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "text/plain")


def _static(
    content: bytes, media_type: str, *vary: str, policy: str = PAGE_POLICY
) -> StaticResponse:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return StaticResponse(content, media_type, headers, *vary)


def _swagger_ui() -> Path:
    """Return the directory of Swagger UI without importing the package that ships it."""
    spec = find_spec("mkdocs_swagger_ui_tag")
    if spec is None or spec.origin is None:
        msg = "mkdocs-swagger-ui-tag is not installed: run `make install`"
        raise FileNotFoundError(msg)
    return Path(spec.origin).with_name("swagger-ui")
