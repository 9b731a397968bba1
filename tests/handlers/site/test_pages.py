"""Pages: self-contained, linked, cacheable, and free of implementation details."""

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import yaml

from handlers.api.problem_types import PROBLEM_TYPES, ProblemType
from harness.anonymous import AnonymousClient
from harness.contract import CONTRACT, OPERATIONS
from harness.pages import BROWSER, Links
from openapi.contract import PATH

PROBLEMS = ("/problems", *(problem_type.type for problem_type in PROBLEM_TYPES.values()))
HTML = ("/", "/docs", "/reference", *PROBLEMS)
FILES = ("/site.css", "/favicon.svg", "/favicon.ico", "/docs/start.js", "/docs/style.css")
PATHS = (*HTML, *FILES, "/openapi.yaml", "/openapi.json")
IMPLEMENTATION = re.compile(
    r"x-bearerInfoFunc|x-openapi-router|\bhandlers\.|\bmodels\.|\.py\b|connexion|starlette"
)


def get(anonymous: AnonymousClient, path: str, **headers: str) -> httpx.Response:
    response = anonymous.get(path, headers={"Accept": BROWSER} | headers)
    assert response.status_code == 200
    return response


def visible_text(page: str) -> str:
    """Return the text without tags."""
    return " ".join(unescape(re.sub("<[^>]+>", "", page)).split())


# The contract


def test_the_yaml_is_served_byte_for_byte(anonymous: AnonymousClient) -> None:
    response = get(anonymous, "/openapi.yaml")
    assert response.content == PATH.read_bytes()
    assert response.headers["content-type"] == "application/yaml"


def test_the_json_equals_the_yaml(anonymous: AnonymousClient) -> None:
    response = get(anonymous, "/openapi.json")
    assert response.json() == yaml.safe_load(PATH.read_text())
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
def test_no_page_reveals_the_implementation(anonymous: AnonymousClient, path: str) -> None:
    assert not IMPLEMENTATION.search(get(anonymous, path).text)


# HTML pages


@pytest.mark.parametrize("path", HTML)
def test_a_page_loads_only_existing_files_of_its_own_origin(
    anonymous: AnonymousClient, path: str
) -> None:
    page = get(anonymous, path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = Links(page)
    assert addresses.inline == []
    for address in addresses.loads:
        assert not urlsplit(address).netloc
        assert get(anonymous, urljoin(path, address)).content


@pytest.mark.parametrize("path", HTML)
def test_every_internal_link_has_a_target(anonymous: AnonymousClient, path: str) -> None:
    links = {urljoin(path, link) for link in Links(get(anonymous, path)).links}
    here = [urlsplit(link) for link in links if not urlsplit(link).netloc]
    assert here
    for link in here:
        target = get(anonymous, link.path)
        if link.fragment:
            assert f'id="{link.fragment}"' in target.text


@pytest.mark.parametrize("path", PATHS)
def test_the_content_security_policy_allows_only_what_a_page_needs(
    anonymous: AnonymousClient, path: str
) -> None:
    headers = get(anonymous, path).headers
    policy = dict(
        directive.strip().partition(" ")[::2]
        for directive in headers["content-security-policy"].split(";")
    )
    plain = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    swagger_ui = {
        "script-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
    }
    assert policy == plain | (swagger_ui if path == "/docs" else {})
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


def test_swagger_ui_is_self_hosted_and_reads_the_contract(
    anonymous: AnonymousClient,
) -> None:
    page = Links(get(anonymous, "/docs"))
    types = {
        urlsplit(address).path: get(anonymous, address).headers["content-type"]
        for address in page.loads
    }
    assert types == {
        "/favicon.svg": "image/svg+xml",
        "/site.css": "text/css; charset=utf-8",
        "/docs/style.css": "text/css; charset=utf-8",
        "/docs/swagger-ui.css": "text/css; charset=utf-8",
        "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/docs/start.js": "text/javascript; charset=utf-8",
    }
    start = get(anonymous, "/docs/start.js").text
    assert "url: `${root}openapi.json`" in start
    assert "validatorUrl: null" in start
    assert not re.search(r"https?:", start)


def test_the_start_page_links_to_everything_that_requires_no_token(
    anonymous: AnonymousClient,
) -> None:
    page = get(anonymous, "/")
    links = {"/docs", "/reference", "/problems", "/openapi.yaml", "/openapi.json"}
    assert links | {"/health", "/ready"} <= Links(page).links
    assert CONTRACT.document["info"]["version"] in page.text


def test_the_reference_contains_every_operation_schema_and_the_whole_guide(
    anonymous: AnonymousClient,
) -> None:
    page = get(anonymous, "/reference").text
    text = visible_text(page)
    components = CONTRACT.document["components"]
    for name in (*OPERATIONS, *components["schemas"]):
        assert f'id="{name}"' in page
    for name in components["headers"]:
        assert f'id="header-{name}"' in page
    for line in CONTRACT.document["info"]["description"].splitlines():
        plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line.removeprefix("- "))
        if not re.match(r"#|```|\|", plain.strip()):
            assert " ".join(re.sub(r"[`*]", "", plain).split()) in text.replace("*", "")


# Problem types, as HTML and JSON


@pytest.mark.parametrize(
    "problem_type", PROBLEM_TYPES.values(), ids=lambda problem_type: problem_type.slug
)
def test_every_problem_type_has_a_page_that_explains_it(
    anonymous: AnonymousClient, problem_type: ProblemType
) -> None:
    text = visible_text(get(anonymous, problem_type.type).text)
    assert f"{problem_type.status} {problem_type.title}" in text
    for sentence in (problem_type.happened, problem_type.why, problem_type.advice):
        assert sentence.replace("`", "") in text
    assert f'"status": {problem_type.status}' in text
    assert ('"errors": [' in text) == (problem_type.status == 400)


@pytest.mark.parametrize(
    "problem_type", PROBLEM_TYPES.values(), ids=lambda problem_type: problem_type.slug
)
def test_a_problem_type_is_available_as_json(
    anonymous: AnonymousClient, problem_type: ProblemType
) -> None:
    response = get(anonymous, problem_type.type, Accept="application/json")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "type": problem_type.type,
        "title": problem_type.title,
        "status": problem_type.status,
        "happened": problem_type.happened,
        "why": problem_type.why,
        "advice": problem_type.advice,
    }


def test_all_problems_are_listed(anonymous: AnonymousClient) -> None:
    types = [problem_type.type for problem_type in PROBLEM_TYPES.values()]
    listed = get(anonymous, "/problems", Accept="application/json").json()
    assert [problem_type["type"] for problem_type in listed] == types
    assert set(types) <= Links(get(anonymous, "/problems")).links


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("text/*", "text/html"),
        ("application/json;q=0.4, text/html;q=0.5", "text/html"),
        ("application/json;q=0, */*;q=0.1", "text/html"),
        ("application/json", "application/json"),
        ("application/*, text/html;q=0.9", "application/json"),
        # Clients that accept anything are programs: curl, fetch, axios.
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        # JSON is the default where nothing acceptable is available.
        ("image/png", "application/json"),
        ("", "application/json"),
        (";;;,q", "application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/problems", "/problems/not-found"])
def test_the_accept_header_selects_html_or_json(
    anonymous: AnonymousClient, path: str, accept: str, media_type: str
) -> None:
    response = get(anonymous, path, Accept=accept)
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert "Accept" in re.split(", *", response.headers["vary"])


# Methods, caching and compression


@pytest.mark.parametrize("path", PATHS)
def test_a_page_supports_head_and_a_trailing_slash(
    anonymous: AnonymousClient, path: str
) -> None:
    page = get(anonymous, path)
    assert get(anonymous, f"{path}/" if path != "/" else path).content == page.content
    head = anonymous.head(path, headers={"Accept": BROWSER})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert head.headers[name] == page.headers[name]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_an_unchanged_page_is_not_sent_again(
    anonymous: AnonymousClient, path: str, encoding: str
) -> None:
    accept_headers = {"Accept": BROWSER, "Accept-Encoding": encoding}
    page = anonymous.get(path, headers=accept_headers)
    again = anonymous.get(
        path, headers=accept_headers | {"If-None-Match": page.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers.get(name) == page.headers.get(name)
    other = anonymous.get(path, headers=accept_headers | {"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, page.content)


@pytest.mark.parametrize("path", ["/reference", "/openapi.json", "/docs/swagger-ui-bundle.js"])
def test_large_files_are_compressed_if_the_client_accepts_it(
    anonymous: AnonymousClient, path: str
) -> None:
    plain = get(anonymous, path, **{"Accept-Encoding": "gzip;q=0"})
    compressed = get(anonymous, path, **{"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.content == plain.content
    sizes = [int(response.headers["content-length"]) for response in (compressed, plain)]
    assert sizes[0] < sizes[1] / 3
    assert compressed.headers["etag"] != plain.headers["etag"]
    for response in (plain, compressed):
        assert "Accept-Encoding" in re.split(", *", response.headers["vary"])


def test_pages_ignore_the_authorization_header(anonymous: AnonymousClient) -> None:
    for path in PATHS:
        response = anonymous.get(path, headers={"Authorization": "Bearer x"})
        assert response.status_code == 200
