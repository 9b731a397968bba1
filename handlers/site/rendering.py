"""Templates, and the filters with which they render the contract."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, Template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from handlers.api.problem_types import PROBLEM_TYPES
from openapi.contract import Contract

TEMPLATES = Path(__file__).with_name("templates")

# HTML in a text is escaped.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")

Schema = Mapping[str, Any]


class Templates:
    """The templates, with the contract and the path prefix of links as values of each."""

    def __init__(self, contract: Contract, root_path: str) -> None:
        """Prepare the values; `contract` is the document in each, `root` the prefix."""
        self._values = {
            "contract": contract.document,
            "root": root_path,
            "headings": headings(contract.document["info"]["description"]),
            "problems": PROBLEM_TYPES,
            "statuses": {
                name(response): status
                for item in contract.document["paths"].values()
                for operation in item.values()
                if "responses" in operation
                for status, response in operation["responses"].items()
            },
            "resolve": contract.resolve,
            "dereference": contract.dereference,
        }

    def render(self, template: str, **values: object) -> str:
        """Return a template filled in with these values."""
        return templates()[template].render(self._values | values)


@cache
def templates() -> dict[str, Template]:
    """Return all templates by name, compiled once per process."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        code=code,
        constraints=constraints,
        json=json,
        shape=shape,
        markdown=markdown,
        name=name,
    )
    names = environment.list_templates()
    return {template: environment.get_template(template) for template in names}


def markdown(text: str) -> Markup:
    """Convert Markdown to HTML, with an id for each heading."""
    tokens = MARKDOWN.parse(text)
    for heading, title in _headings(tokens):
        heading.attrSet("id", _slug(title))
    return Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))  # noqa: S704 (safe)


def code(text: str) -> Markup:
    """Convert one line of Markdown to HTML, such as code between backticks."""
    return Markup(MARKDOWN.renderInline(text))  # noqa: S704 (safe)


def headings(text: str) -> list[tuple[str, str]]:
    """Return the id and the title of every heading in a Markdown text."""
    return [(_slug(title), title) for _, title in _headings(MARKDOWN.parse(text))]


def json(value: object) -> str:
    """Return a value as indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def name(node: Mapping[str, Any]) -> str | None:
    """Return the name of the component that a node refers to; None if it has no reference."""
    reference: str | None = node.get("$ref")
    return reference and reference.rpartition("/")[2]


def shape(schema: Schema) -> str:
    """Return the type of a resolved schema in a word or two."""
    words: str = schema.get("format") or schema.get("type", "object")
    if words == "array":
        words = f"array of {shape(schema['items'])}"
    return f"{words} or null" if schema.get("nullable") else words


def constraints(schema: Schema) -> list[str]:
    """Return the constraints of a resolved schema in words."""
    return list(_constraints(schema))


def _constraints(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield "one of " + ", ".join("null" if v is None else str(v) for v in schema["enum"])
    for what, low, high in (
        ("characters", schema.get("minLength"), schema.get("maxLength")),
        ("elements", schema.get("minItems"), schema.get("maxItems")),
        ("fields", schema.get("minProperties"), schema.get("maxProperties")),
        ("", schema.get("minimum"), schema.get("maximum")),
    ):
        if low is not None or high is not None:
            yield f"{_range(low, high)} {what}".rstrip()
    if "x-pattern-means" in schema:
        yield schema["x-pattern-means"]
    if "default" in schema:
        yield f"{schema['default']} by default"


def _range(low: int | None, high: int | None) -> str:
    if low == high:
        return f"exactly {low:,}"
    if high is None:
        return f"at least {low:,}"
    return f"at most {high:,}" if low is None else f"{low:,} to {high:,}"


def _headings(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            yield token, following.content


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
