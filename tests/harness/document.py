"""Iterators over the contract as it is written, for rules that apply to all of it.

Each item comes with its location, a JSON pointer. References are not followed: their targets
are part of the document, and are found there.
"""

from collections.abc import Iterator
from typing import Any

from harness.contract import CONTRACT, OPERATIONS

DOCUMENT = CONTRACT.document
COMPONENTS = DOCUMENT["components"]

Located = tuple[str, Any]


def operations() -> Iterator[Located]:
    """Yield every operation."""
    methods = {operation.method.lower() for operation in OPERATIONS.values()}
    for path, item in DOCUMENT["paths"].items():
        for key, value in item.items():
            if key in methods:
                yield f"#/paths/{path}/{key}", value


def responses() -> Iterator[Located]:
    """Yield every response of every operation, references unresolved."""
    for where, operation in operations():
        for status, response in operation["responses"].items():
            yield f"{where}/responses/{status}", response


def values() -> Iterator[Located]:
    """Yield every object that has a schema: parameters, headers and media types."""
    yield from _with_schema("#", DOCUMENT)


def schemas() -> Iterator[Located]:
    """Yield every schema, and its subschemas."""
    for name, schema in COMPONENTS["schemas"].items():
        yield from schemas_in(f"#/components/schemas/{name}", schema)
    for where, value in values():
        yield from schemas_in(f"{where}/schema", value["schema"])


def schemas_in(where: str, schema: Any) -> Iterator[Located]:
    """Yield a schema and its subschemas."""
    if "$ref" in schema:
        return
    yield where, schema
    for name, member in schema.get("properties", {}).items():
        yield from schemas_in(f"{where}/properties/{name}", member)
    if "items" in schema:
        yield from schemas_in(f"{where}/items", schema["items"])
    for index, member in enumerate(schema.get("allOf", [])):
        yield from schemas_in(f"{where}/allOf/{index}", member)
    unexpected = {"anyOf", "oneOf", "not"} & set(schema)
    assert not unexpected, f"{where}: not supported here: {unexpected}"


def components(section: str) -> Iterator[Located]:
    """Yield every component of one section."""
    for name, value in COMPONENTS[section].items():
        yield f"#/components/{section}/{name}", value


def examples(value: Any) -> dict[str, Any]:
    """Return the examples of a parameter, header, media type or schema, by name."""
    several = {
        name: CONTRACT.resolve(example)["value"]
        for name, example in value.get("examples", {}).items()
    }
    return several | ({"example": value["example"]} if "example" in value else {})


def _with_schema(where: str, node: Any) -> Iterator[Located]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _with_schema(f"{where}/{index}", item)
    elif isinstance(node, dict):
        if "schema" in node:
            yield where, node
        for key, value in node.items():
            if key not in {"schema", "schemas", "example", "examples"}:
                yield from _with_schema(f"{where}/{key}", value)
