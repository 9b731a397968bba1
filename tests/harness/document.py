"""Walks over the contract as it is written, for tests that hold all of it to a rule.

Everything comes with the place where it stands, as a JSON pointer. References are not
followed: what they lead to stands somewhere, too, and is found there.
"""

from collections.abc import Iterator
from typing import Any

from harness.contract import CONTRACT, OPERATIONS

DOCUMENT = CONTRACT.document
COMPONENTS = DOCUMENT["components"]

Located = tuple[str, Any]


def operations() -> Iterator[Located]:
    """Find every operation."""
    methods = {operation.method.lower() for operation in OPERATIONS.values()}
    for path, item in DOCUMENT["paths"].items():
        for key, value in item.items():
            if key in methods:
                yield f"#/paths/{path}/{key}", value


def responses() -> Iterator[Located]:
    """Find every response of every operation, as it is written there."""
    for where, operation in operations():
        for status, response in operation["responses"].items():
            yield f"{where}/responses/{status}", response


def values() -> Iterator[Located]:
    """Find everything that has a schema: parameters, headers and media types."""
    yield from _with_schema("#", DOCUMENT)


def schemas() -> Iterator[Located]:
    """Find every schema, and every schema in it."""
    for name, schema in COMPONENTS["schemas"].items():
        yield from schemas_in(f"#/components/schemas/{name}", schema)
    for where, value in values():
        yield from schemas_in(f"{where}/schema", value["schema"])


def schemas_in(where: str, schema: Any) -> Iterator[Located]:
    """Find a schema and every schema in it."""
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
    assert not unexpected, f"{where}: teach this walk to follow {unexpected}"


def components(section: str) -> Iterator[Located]:
    """Find every component of one kind."""
    for name, value in COMPONENTS[section].items():
        yield f"#/components/{section}/{name}", value


def examples(value: Any) -> dict[str, Any]:
    """Return the examples of a parameter, header, media type or schema, by their names."""
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
