"""Templates, and what they need in order to write the contract down for people."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from handlers.problem_kinds import KINDS
from openapi.contract import Contract

FOLDER = Path(__file__).with_name("templates")

# What is HTML in a text stays a text.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")

Schema = Mapping[str, Any]


class Templates:
    """The templates, with the contract at hand in each."""

    def __init__(self, contract: Contract) -> None:
        """Let every template read this contract, as `contract`."""
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["contract"] = contract.document
        self._environment.globals["chapters"] = chapters(
            contract.document["info"]["description"]
        )
        self._environment.globals["problems"] = KINDS
        self._environment.globals["statuses"] = {
            name(response): int(status)
            for item in contract.document["paths"].values()
            for operation in item.values()
            if "responses" in operation
            for status, response in operation["responses"].items()
        }
        self._environment.filters.update(
            code=code,
            facts=facts,
            json=json,
            shape=shape,
            markdown=markdown,
            name=name,
            resolve=contract.resolve,
        )

    def render(self, template: str, **values: object) -> str:
        """Fill in a template."""
        return self._environment.get_template(template).render(values)


def markdown(text: str) -> Markup:
    """Return a text in Markdown as HTML; its headings can be linked to."""
    tokens = MARKDOWN.parse(text)
    for heading, title in _headings(tokens):
        heading.attrSet("id", _slug(title))
    return Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))  # noqa: S704 (safe)


def code(text: str) -> Markup:
    """Return one line of Markdown as HTML: what stands between backticks is code."""
    return Markup(MARKDOWN.renderInline(text))  # noqa: S704 (safe)


def chapters(text: str) -> list[tuple[str, str]]:
    """Return the id and the title of every heading in a text in Markdown."""
    return [(_slug(title), title) for _, title in _headings(MARKDOWN.parse(text))]


def json(value: object) -> str:
    """Write an example as people do."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def name(node: Mapping[str, Any]) -> str | None:
    """Return the name of the component that a node refers to, if it does."""
    reference: str | None = node.get("$ref")
    return reference and reference.rpartition("/")[2]


def shape(schema: Schema) -> str:
    """Say in a word or two what a schema describes; its references are resolved."""
    words: str = schema.get("format") or schema.get("type", "object")
    if words == "array":
        words = f"array of {shape(schema['items'])}"
    return f"{words} or null" if schema.get("nullable") else words


def facts(schema: Schema) -> list[str]:
    """Say in words what a schema demands; its references are resolved."""
    return list(_facts(schema))


def _facts(schema: Schema) -> Iterator[str]:
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
