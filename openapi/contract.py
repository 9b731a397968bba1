"""The contract as data."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).with_name("openapi.yaml")

Json = Any


@dataclass(frozen=True)
class Contract:
    """An OpenAPI document; `text` is its YAML, byte for byte as written."""

    text: bytes
    document: dict[str, Json]

    @cached_property
    def user_scope(self) -> tuple[str, str]:
        """The prefix of the user-scoped paths, and the prefix it is an alias of."""
        scope = self.document["x-user-scoped-paths"]
        return scope["prefix"], scope["same-as"]

    @property
    def version(self) -> str:
        """The version of the contract, which is that of the service."""
        return str(self.document["info"]["version"])

    @cached_property
    def operations(self) -> dict[str, tuple[str, list[int]]]:
        """The path and the documented statuses of each operation, by its operationId."""
        return {
            node["operationId"]: (path, [int(s) for s in node["responses"] if s.isdigit()])
            for path, item in self.document["paths"].items()
            for node in item.values()
            if "operationId" in node
        }

    def below(self, root_path: str) -> "Contract":
        """Return the contract with `root_path` as the URL of its first server, `/` if empty."""
        url = root_path or "/"
        first, *others = self.document["servers"]
        document = {**self.document, "servers": [{**first, "url": url}, *others]}
        line = f"\n  - url: {first['url']}\n"
        text = self.text.replace(line.encode(), f"\n  - url: {url}\n".encode(), 1)
        return Contract(text, document)

    def resolve(self, node: Json) -> Json:
        """Return a copy of a part of the document with its references resolved."""
        if isinstance(node, dict):
            if "$ref" in node:
                return self.resolve(self._at(node["$ref"]))
            return {key: self.resolve(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(value) for value in node]
        return node

    def dereference(self, node: Json) -> Json:
        """Return what a node refers to, or the node itself if it is no reference."""
        return self._at(node["$ref"]) if "$ref" in node else node

    def _at(self, reference: str) -> Json:
        node: Json = self.document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node


def load(path: Path = PATH) -> Contract:
    """Read the contract; raises OSError or yaml.YAMLError if that fails."""
    text = path.read_bytes()
    return Contract(text, yaml.load(text, Loader=yaml.CSafeLoader))


def path_pattern(path: str) -> str:
    """Return a path template as a regular expression with a group for each parameter."""
    literals = re.split(r"\{[^}]+\}", path)
    # A possessive quantifier: a shorter match could not be followed by a slash anyway.
    return r"([^/]++)".join(re.escape(literal) for literal in literals)
