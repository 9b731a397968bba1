"""Pages: all of them served from here, with nothing from elsewhere, and nothing of Python."""

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import yaml

from handlers.problem_kinds import KINDS, Kind
from harness.contract import CONTRACT
from harness.strangers import Stranger
from openapi.contract import PATH

HTML = ("/", "/docs", *(kind.type for kind in KINDS.values()))
OURS = (*HTML, "/docs/start.js", "/openapi.yaml", "/openapi.json")
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


def get(stranger: Stranger, path: str) -> httpx.Response:
    answer = stranger.get(path)
    assert answer.status_code == 200
    return answer


# The contract


def test_the_yaml_is_the_file_byte_for_byte(stranger: Stranger) -> None:
    answer = get(stranger, "/openapi.yaml")
    assert answer.content == PATH.read_bytes()
    assert answer.headers["content-type"] == "application/yaml"


def test_the_json_says_what_the_file_says(stranger: Stranger) -> None:
    answer = get(stranger, "/openapi.json")
    assert answer.json() == yaml.safe_load(PATH.read_text())
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", OURS)
def test_no_page_tells_that_there_is_python(stranger: Stranger, path: str) -> None:
    assert not OF_PYTHON.search(get(stranger, path).text)


# Pages for people


@pytest.mark.parametrize("path", HTML)
def test_a_page_loads_nothing_from_elsewhere_and_all_that_it_loads_is_there(
    stranger: Stranger, path: str
) -> None:
    page = get(stranger, path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = Addresses(page)
    assert addresses.inline == []
    for address in addresses.loads | addresses.links:
        assert not urlsplit(address).netloc
        assert get(stranger, urljoin(path, address)).content


@pytest.mark.parametrize("path", OURS)
def test_a_page_may_not_do_more_than_it_does(stranger: Stranger, path: str) -> None:
    headers = get(stranger, path).headers
    policy = dict(
        directive.strip().partition(" ")[::2]
        for directive in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|unsafe-eval", headers["content-security-policy"])
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


def test_swagger_ui_is_served_from_here_and_reads_our_contract(stranger: Stranger) -> None:
    page = Addresses(get(stranger, "/docs"))
    types = {
        urlsplit(address).path: get(stranger, address).headers["content-type"]
        for address in page.loads
    }
    assert types == {
        "/docs/favicon-32x32.png": "image/png",
        "/docs/swagger-ui.css": "text/css; charset=utf-8",
        "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/docs/start.js": "text/javascript; charset=utf-8",
    }
    start = get(stranger, "/docs/start.js").text
    assert 'url: "/openapi.json"' in start
    assert "validatorUrl: null" in start
    assert not re.search(r"https?:", start)


def test_the_start_page_leads_to_all_that_needs_no_token(stranger: Stranger) -> None:
    page = get(stranger, "/")
    assert {"/docs", "/openapi.yaml", "/openapi.json", "/health", "/ready"} <= Addresses(
        page
    ).links
    assert CONTRACT.document["info"]["version"] in page.text


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.slug)
def test_every_type_of_problem_is_the_address_of_a_page_that_explains_it(
    stranger: Stranger, kind: Kind
) -> None:
    page = get(stranger, kind.type)
    text = unescape(re.sub("<[^>]+>", "", page.text))
    assert f"{kind.status} {kind.title}" in text
    assert kind.advice.replace("`", "") in text


# How they are asked for


@pytest.mark.parametrize("path", OURS)
def test_a_page_can_be_asked_for_by_head_and_with_a_slash_behind(
    stranger: Stranger, path: str
) -> None:
    page = get(stranger, path)
    assert get(stranger, f"{path}/" if path != "/" else path).content == page.content
    head = stranger.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(page.content))


def test_pages_want_no_token_and_mind_none(stranger: Stranger) -> None:
    for path in OURS:
        answer = stranger.get(path, headers={"Authorization": "Bearer x"})
        assert answer.status_code == 200
