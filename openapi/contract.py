"""The contract as data: its operations, with every reference resolved."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).with_name("openapi.yaml")

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

Json = Any


@dataclass(frozen=True)
class Operation:
    """One operation of the contract, references resolved.

    `parameters` are parameter objects, those of the path item included;
    `body` is the request body object, or None where none is described.
    """

    operation_id: str
    method: str
    path: str
    parameters: tuple[Mapping[str, Json], ...]
    body: Mapping[str, Json] | None
    responses: Mapping[str, Json]
    secured: bool


@dataclass(frozen=True)
class Contract:
    """An OpenAPI document; `text` is its YAML, byte for byte as written."""

    text: bytes
    document: Mapping[str, Json]

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its operationId, in the order of the document."""
        return {operation.operation_id: operation for operation in self._walk()}

    @cached_property
    def user_scope(self) -> tuple[str, str]:
        """The user-scoped form of the paths and the form that it stands for."""
        scope = self.document["x-user-scoped-paths"]
        return scope["prefix"], scope["same-as"]

    def methods(self, path: str) -> list[str]:
        """Name the methods (upper case) that the contract knows at a concrete path."""
        for template, methods in self._methods:
            if template.fullmatch(path):
                return methods
        return []

    def resolve(self, node: Json) -> Json:
        """Return a copy of a part of the document without references."""
        if isinstance(node, dict):
            if "$ref" in node:
                return self.resolve(self._at(node["$ref"]))
            return {key: self.resolve(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(value) for value in node]
        return node

    def _at(self, reference: str) -> Json:
        node: Json = self.document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    def _walk(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            shared = item.get("parameters", [])
            for method in METHODS:
                if method not in item:
                    continue
                description = self.resolve(item[method])
                security = description.get("security", self.document["security"])
                if {} in security:
                    # Connexion would call the handler, too, with nobody as its user.
                    msg = f"{description['operationId']}: security cannot be optional"
                    raise ValueError(msg)
                yield Operation(
                    operation_id=description["operationId"],
                    method=method.upper(),
                    path=path,
                    parameters=(
                        *self.resolve(shared),
                        *description.get("parameters", []),
                    ),
                    body=description.get("requestBody"),
                    responses=description["responses"],
                    secured=bool(security),
                )

    @cached_property
    def _methods(self) -> list[tuple[re.Pattern[str], list[str]]]:
        by_path: dict[str, list[str]] = defaultdict(list)
        for operation in self.operations.values():
            by_path[operation.path].append(operation.method)
        return [(re.compile(pattern(path)), methods) for path, methods in by_path.items()]


def load(path: Path = PATH) -> Contract:
    """Read the contract; raises OSError or yaml.YAMLError if it cannot be."""
    text = path.read_bytes()
    return Contract(text, yaml.load(text, Loader=yaml.CSafeLoader))


def pattern(path: str) -> str:
    """Write a templated path as a regular expression, with a group for each parameter."""
    literal = re.split(r"\{[^}]+\}", path)
    # Without line breaks, as Connexion's router sees it; possessive, since what is shorter
    # would not end at a slash, so that there is no use in trying it.
    return r"([^/\n]++)".join(re.escape(part) for part in literal)
