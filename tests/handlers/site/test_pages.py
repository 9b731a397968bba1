"""Pages: all of them served from here, with nothing from elsewhere, and nothing of Python."""

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import yaml

from handlers.api.problem_types import PROBLEM_TYPES, ProblemType
from harness.anonymous import AnonymousClient
from harness.contract import CONTRACT, OPERATIONS
from openapi.contract import PATH

PROBLEMS = ("/problems", *(kind.type for kind in PROBLEM_TYPES.values()))
HTML = ("/", "/docs", "/reference", *PROBLEMS)
FILES = ("/site.css", "/favicon.svg", "/favicon.ico", "/docs/start.js", "/docs/style.css")
OURS = (*HTML, *FILES, "/openapi.yaml", "/openapi.json")
# What Chromium sends when a person follows a link.
BROWSER = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
OF_PYTHON = re.compile(
    r"x-bearerInfoFunc|x-openapi-router|\bhandlers\.|\bmodels\.|\.py\b|connexion|starlette"
)


class Addresses(HTMLParser):
    """Collects what a page loads and where it leads, and code written into it."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.inline: list[str] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        address = attributes.get("src") or attributes.get("href")
        if tag == "script" and "src" not in attributes:
            self.inline.append(tag)
        self.inline += [name for name in attributes if name.startswith("on")]
        if address:
            (self.links if tag == "a" else self.loads).add(address)


def get(anonymous: AnonymousClient, path: str, **headers: str) -> httpx.Response:
    answer = anonymous.get(path, headers={"Accept": BROWSER} | headers)
    assert answer.status_code == 200
    return answer


def words(page: str) -> str:
    """Return what a person reads."""
    return " ".join(unescape(re.sub("<[^>]+>", "", page)).split())


# The contract


def test_the_yaml_is_the_file_byte_for_byte(anonymous: AnonymousClient) -> None:
    answer = get(anonymous, "/openapi.yaml")
    assert answer.content == PATH.read_bytes()
    assert answer.headers["content-type"] == "application/yaml"


def test_the_json_says_what_the_file_says(anonymous: AnonymousClient) -> None:
    answer = get(anonymous, "/openapi.json")
    assert answer.json() == yaml.safe_load(PATH.read_text())
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", OURS)
def test_no_page_tells_that_there_is_python(anonymous: AnonymousClient, path: str) -> None:
    assert not OF_PYTHON.search(get(anonymous, path).text)


# Pages for people


@pytest.mark.parametrize("path", HTML)
def test_a_page_loads_nothing_from_elsewhere_and_all_that_it_loads_is_there(
    anonymous: AnonymousClient, path: str
) -> None:
    page = get(anonymous, path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = Addresses(page)
    assert addresses.inline == []
    for address in addresses.loads:
        assert not urlsplit(address).netloc
        assert get(anonymous, urljoin(path, address)).content


@pytest.mark.parametrize("path", HTML)
def test_every_link_between_pages_leads_somewhere(
    anonymous: AnonymousClient, path: str
) -> None:
    links = {urljoin(path, link) for link in Addresses(get(anonymous, path)).links}
    here = [urlsplit(link) for link in links if not urlsplit(link).netloc]
    assert here
    for link in here:
        target = get(anonymous, link.path)
        if link.fragment:
            assert f'id="{link.fragment}"' in target.text


@pytest.mark.parametrize("path", OURS)
def test_a_page_may_not_do_more_than_it_does(anonymous: AnonymousClient, path: str) -> None:
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
    tries_out = {
        "script-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
    }
    assert policy == plain | (tries_out if path == "/docs" else {})
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


def test_swagger_ui_is_served_from_here_and_reads_our_contract(
    anonymous: AnonymousClient,
) -> None:
    page = Addresses(get(anonymous, "/docs"))
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
    assert 'url: "/openapi.json"' in start
    assert "validatorUrl: null" in start
    assert not re.search(r"https?:", start)


def test_the_start_page_leads_to_all_that_needs_no_token(anonymous: AnonymousClient) -> None:
    page = get(anonymous, "/")
    links = {"/docs", "/reference", "/problems", "/openapi.yaml", "/openapi.json"}
    assert links | {"/health", "/ready"} <= Addresses(page).links
    assert CONTRACT.document["info"]["version"] in page.text


def test_the_reference_has_every_operation_schema_and_word_of_the_guide(
    anonymous: AnonymousClient,
) -> None:
    page = get(anonymous, "/reference").text
    read = words(page)
    components = CONTRACT.document["components"]
    for name in (*OPERATIONS, *components["schemas"]):
        assert f'id="{name}"' in page
    for name in components["headers"]:
        assert f'id="header-{name}"' in page
    for line in CONTRACT.document["info"]["description"].splitlines():
        plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line.removeprefix("- "))
        if not re.match(r"#|```|\|", plain.strip()):
            assert " ".join(re.sub(r"[`*]", "", plain).split()) in read.replace("*", "")


# Problems, for people and for programs


@pytest.mark.parametrize("kind", PROBLEM_TYPES.values(), ids=lambda kind: kind.slug)
def test_every_type_of_problem_is_the_address_of_a_page_that_explains_it(
    anonymous: AnonymousClient, kind: ProblemType
) -> None:
    read = words(get(anonymous, kind.type).text)
    assert f"{kind.status} {kind.title}" in read
    for sentence in (kind.happened, kind.why, kind.advice):
        assert sentence.replace("`", "") in read
    assert f'"status": {kind.status}' in read
    assert ('"errors": [' in read) == (kind.status == 400)


@pytest.mark.parametrize("kind", PROBLEM_TYPES.values(), ids=lambda kind: kind.slug)
def test_programs_get_the_same_as_json(anonymous: AnonymousClient, kind: ProblemType) -> None:
    answer = get(anonymous, kind.type, Accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "happened": kind.happened,
        "why": kind.why,
        "advice": kind.advice,
    }


def test_all_problems_are_listed(anonymous: AnonymousClient) -> None:
    types = [kind.type for kind in PROBLEM_TYPES.values()]
    listed = get(anonymous, "/problems", Accept="application/json").json()
    assert [kind["type"] for kind in listed] == types
    assert set(types) <= Addresses(get(anonymous, "/problems")).links


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
        # Whoever takes anything is a program: curl, fetch, axios.
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        # Better something than a second problem.
        ("image/png", "application/json"),
        ("", "application/json"),
        (";;;,q", "application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/problems", "/problems/not-found"])
def test_the_client_chooses_between_a_page_and_json(
    anonymous: AnonymousClient, path: str, accept: str, media_type: str
) -> None:
    answer = get(anonymous, path, Accept=accept)
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert "Accept" in re.split(", *", answer.headers["vary"])


# How they are asked for


@pytest.mark.parametrize("path", OURS)
def test_a_page_can_be_asked_for_by_head_and_with_a_slash_behind(
    anonymous: AnonymousClient, path: str
) -> None:
    page = get(anonymous, path)
    assert get(anonymous, f"{path}/" if path != "/" else path).content == page.content
    head = anonymous.head(path, headers={"Accept": BROWSER})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert head.headers[name] == page.headers[name]


@pytest.mark.parametrize("path", OURS)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_page_that_a_client_has_already_is_not_sent_again(
    anonymous: AnonymousClient, path: str, encoding: str
) -> None:
    wish = {"Accept": BROWSER, "Accept-Encoding": encoding}
    page = anonymous.get(path, headers=wish)
    again = anonymous.get(path, headers=wish | {"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers.get(name) == page.headers.get(name)
    other = anonymous.get(path, headers=wish | {"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, page.content)


@pytest.mark.parametrize("path", ["/reference", "/openapi.json", "/docs/swagger-ui-bundle.js"])
def test_what_is_large_travels_compressed_to_whoever_accepts_that(
    anonymous: AnonymousClient, path: str
) -> None:
    plain = get(anonymous, path, **{"Accept-Encoding": "gzip;q=0"})
    compressed = get(anonymous, path, **{"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.content == plain.content
    sizes = [int(answer.headers["content-length"]) for answer in (compressed, plain)]
    assert sizes[0] < sizes[1] / 3
    assert compressed.headers["etag"] != plain.headers["etag"]
    for answer in (plain, compressed):
        assert "Accept-Encoding" in re.split(", *", answer.headers["vary"])


def test_pages_want_no_token_and_mind_none(anonymous: AnonymousClient) -> None:
    for path in OURS:
        answer = anonymous.get(path, headers={"Authorization": "Bearer x"})
        assert answer.status_code == 200
