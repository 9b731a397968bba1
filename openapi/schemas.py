"""JSON schemas of the contract, compiled; faults put into words for people."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs

from openapi.contract import Json

FIRST_YEAR = 1000

FORMAT_MEANS = {
    "date-time": "must be a date and time that exists, in the years 1000 to 9999 UTC",
    "uuid": "must be a UUID",
}

LIMIT_MEANS = {
    "minLength": "must be at least {limit} characters long",
    "maxLength": "must be at most {limit} characters long",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "minProperties": "must contain at least {limit} field",
}

TYPE_MEANS = {
    "object": "a JSON object",
    "array": "an array",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, in words, and where: the path from the root of the value."""

    path: tuple[str | int, ...]
    detail: str


class Schema:
    """One schema of the contract, compiled once and used for every request."""

    def __init__(self, schema: Mapping[str, Json], *, formats: bool = True) -> None:
        """Compile a resolved OpenAPI 3.0 schema object, with or without its formats."""
        self._schema = _draft4(schema)
        self._validator = jsonschema_rs.Draft4Validator(
            self._schema,
            validate_formats=formats,
            formats={"date-time": is_instant},
        )
        self.allows: Callable[[Json], bool] = self._validator.is_valid
        """Tell whether a value keeps to the schema."""

    def faults(self, value: Json) -> list[Fault]:
        """List everything in which a value breaks the schema; empty if nothing."""
        try:
            errors = sorted(self._validator.iter_errors(value), key=_says_less)
        except ValueError:
            # jsonschema-rs quotes the value in an error, but not past 255 levels.
            return [Fault((), "is nested too deeply")]
        faults: dict[tuple[str | int, ...], Fault] = {}
        for error in errors:
            for fault in self._describe(error):
                faults.setdefault(fault.path, fault)
        return list(faults.values())

    def _describe(self, error: jsonschema_rs.ValidationError) -> Iterator[Fault]:
        path = tuple(error.instance_path)
        kind = jsonschema_rs.ValidationErrorKind
        match error.kind:
            case kind.AdditionalProperties(unexpected=names):
                for name in names:
                    yield Fault((*path, name), "is not a known field")
            case kind.Required(property=name):
                yield Fault((*path, name), "is required")
            case kind.Pattern():
                yield Fault(path, self._pattern_means(error.schema_path))
            case _:
                yield Fault(path, _in_words(error.kind))

    def _pattern_means(self, schema_path: list[str | int]) -> str:
        node: Json = self._schema
        for part in schema_path[:-1]:
            node = node[part]
        meaning: str = node.get("x-pattern-means", "has the wrong form")
        return meaning


def _says_less(error: jsonschema_rs.ValidationError) -> bool:
    """Sort a pattern or an enum before the type, format or length beside it."""
    return error.kind.name not in {"pattern", "enum"}


def instant(text: str) -> datetime:
    """Read an RFC 3339 date-time, in UTC: PostgreSQL knows no offset past 15:59.

    Raises ValueError or OverflowError if it names no instant that can be kept.
    """
    found = datetime.fromisoformat(text).astimezone(UTC)
    if found.year < FIRST_YEAR:
        raise ValueError(text)
    return found


def is_instant(text: str) -> bool:
    """Tell whether an RFC 3339 date-time names an instant that can be kept."""
    try:
        instant(text)
    except (ValueError, OverflowError):
        return False
    return True


def converter(schema: Mapping[str, Json]) -> Callable[[Any], Any]:
    """Return what makes a value of this schema a Python value.

    It raises ValueError or OverflowError if the value has not the schema's format.
    """
    return instant if schema.get("format") == "date-time" else unchanged


def unchanged(value: Any) -> Any:
    """Keep a value as it is."""
    return value


def _in_words(kind: Any) -> str:
    kinds = jsonschema_rs.ValidationErrorKind
    match kind:
        case kinds.Type(types=types):
            null_last = sorted(types, key="null".__eq__)
            return f"must be {_either([TYPE_MEANS[name] for name in null_last])}"
        case kinds.Enum(options=options):
            return f"must be {_either(['null' if o is None else str(o) for o in options])}"
        case kinds.Format(format=name):
            return FORMAT_MEANS.get(name, f"must be a valid {name}")
        case _:
            phrase = LIMIT_MEANS.get(kind.name, "is not what the contract describes")
            return phrase.format(limit=getattr(kind, "limit", None))


def _either(options: list[str]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}" if others else last


def _draft4(node: Json) -> Json:
    """Translate OpenAPI 3.0's `nullable` into JSON Schema's list of types."""
    if isinstance(node, list):
        return [_draft4(value) for value in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _draft4(value) for key, value in node.items()}
    if schema.get("nullable") is True:
        schema["type"] = [schema["type"], "null"]
    return schema
