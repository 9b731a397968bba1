"""JSON schemas of the contract, compiled, with error messages for people."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs

from openapi.contract import Json

FIRST_YEAR = 1000

FORMAT_MESSAGES = {
    "date-time": "must be a date and time that exists, in the years 1000 to 9999 UTC",
}

LIMIT_MESSAGES = {
    "minLength": "must be at least {limit} characters long",
    "maxLength": "must be at most {limit} characters long",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "minItems": "must have at least {limit} items",
    "maxItems": "must have at most {limit} items",
    "uniqueItems": "must not contain duplicates",
    "minProperties": "must contain at least {limit} field",
}

CODES = {
    "type": "wrong_type",
    "enum": "not_allowed",
    "format": "wrong_format",
    "pattern": "wrong_format",
    "minLength": "too_short",
    "maxLength": "too_long",
    "minimum": "too_small",
    "maximum": "too_large",
    "minItems": "too_few",
    "maxItems": "too_many",
    "uniqueItems": "duplicate",
    "minProperties": "too_few",
}
"""The `code` of an error, by the keyword of JSON Schema that is violated."""

TYPE_NAMES = {
    "object": "a JSON object",
    "array": "an array",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class ValidationError:
    """What is wrong, in words, and where: the path from the root of the value."""

    path: tuple[str | int, ...]
    code: str
    detail: str


class Schema:
    """One schema of the contract, compiled once and used for every request."""

    def __init__(self, schema: Mapping[str, Json], *, formats: bool = True) -> None:
        """Compile a resolved OpenAPI 3.0 schema object; `formats=False` ignores formats."""
        self._schema = _draft4(schema)
        self._validator = jsonschema_rs.Draft4Validator(
            self._schema,
            validate_formats=formats,
            formats={"date-time": is_instant},
        )
        self.is_valid: Callable[[Json], bool] = self._validator.is_valid
        """Return whether a value is valid."""

    def errors(self, value: Json) -> list[ValidationError]:
        """Return every violation of the schema, one for each place in the value."""
        try:
            errors = sorted(self._validator.iter_errors(value), key=_is_less_specific)
        except ValueError:
            # jsonschema-rs quotes the value in an error, and fails past 255 levels.
            return [ValidationError((), "too_deep", "is nested too deeply")]
        found: dict[tuple[str | int, ...], ValidationError] = {}
        for raw in errors:
            for error in self._describe(raw):
                found.setdefault(error.path, error)
        return list(found.values())

    def _describe(self, error: jsonschema_rs.ValidationError) -> Iterator[ValidationError]:
        path = tuple(error.instance_path)
        kind = jsonschema_rs.ValidationErrorKind
        match error.kind:
            case kind.AdditionalProperties(unexpected=names):
                for name in names:
                    yield ValidationError((*path, name), "unknown", "is not a known field")
            case kind.Required(property=name):
                yield ValidationError((*path, name), "required", "is required")
            case kind.Pattern():
                message = self._pattern_message(error.schema_path)
                yield ValidationError(path, CODES["pattern"], message)
            case _:
                code = CODES.get(error.kind.name, "not_allowed")
                yield ValidationError(path, code, _message(error.kind))

    def _pattern_message(self, schema_path: list[str | int]) -> str:
        node: Json = self._schema
        for part in schema_path[:-1]:
            node = node[part]
        message: str = node.get("x-pattern-means", "has the wrong form")
        return message


def _is_less_specific(error: jsonschema_rs.ValidationError) -> bool:
    """Sort a pattern or an enum before the type, format or length beside it."""
    return error.kind.name not in {"pattern", "enum"}


def parse_instant(text: str) -> datetime:
    """Parse an RFC 3339 date-time and convert it to UTC.

    PostgreSQL accepts no offset beyond 15:59. Raises ValueError or OverflowError if the
    instant does not exist or cannot be stored.
    """
    instant = datetime.fromisoformat(text).astimezone(UTC)
    if instant.year < FIRST_YEAR:
        raise ValueError(text)
    return instant


def is_instant(text: str) -> bool:
    """Return whether an RFC 3339 date-time exists and can be stored."""
    try:
        parse_instant(text)
    except (ValueError, OverflowError):
        return False
    return True


def converter(schema: Mapping[str, Json]) -> Callable[[Any], Any]:
    """Return the function that converts a value of this schema to a Python value.

    It raises ValueError or OverflowError if the value does not have the schema's format.
    """
    return parse_instant if schema.get("format") == "date-time" else identity


def identity(value: Any) -> Any:
    """Return the value unchanged."""
    return value


def _message(kind: Any) -> str:
    kinds = jsonschema_rs.ValidationErrorKind
    match kind:
        case kinds.Type(types=types):
            null_last = sorted(types, key="null".__eq__)
            return f"must be {_join_with_or([TYPE_NAMES[name] for name in null_last])}"
        case kinds.Enum(options=options):
            return (
                f"must be {_join_with_or(['null' if o is None else str(o) for o in options])}"
            )
        case kinds.Format(format=name):
            return FORMAT_MESSAGES.get(name, f"must be a valid {name}")
        case kinds.MinLength(limit=1) | kinds.MinItems(limit=1):
            return "must not be empty"
        case _:
            phrase = LIMIT_MESSAGES.get(kind.name, "is not what the contract describes")
            return phrase.format(limit=getattr(kind, "limit", None))


def _join_with_or(options: list[str]) -> str:
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
