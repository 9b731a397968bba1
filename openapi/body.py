"""The JSON body of a request, compiled from the contract."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header

from openapi.contract import Json
from openapi.errors import Errors, UnsupportedMediaType, body_error
from openapi.schemas import Schema, converter, identity

MAX_MEDIA_TYPE = 500  # bytes: the parser takes 0.1 s for one that fills all headers
RawHeaders = Iterable[tuple[bytes, bytes]]


class Body:
    """The JSON body of an operation."""

    def __init__(self, definition: Mapping[str, Json]) -> None:
        """Compile a resolved request body object, whose media types share one JSON schema."""
        self._media_types = [name.encode() for name in definition["content"]]
        (schema, *others) = (media["schema"] for media in definition["content"].values())
        assert all(other == schema for other in others), "one schema for all media types"
        self._required: bool = definition.get("required", False)
        self._schema = Schema(schema)
        # Formats are checked by converting the values.
        self._structure = Schema(schema, formats=False)
        self._max_items = {
            name: field["maxItems"]
            for name, field in schema["properties"].items()
            if "maxItems" in field
        }
        self._converters = {
            name: converter(field)
            for name, field in schema["properties"].items()
            if converter(field) is not identity
        }

    def validate(self, headers: RawHeaders, body: bytes, errors: Errors) -> dict[str, Any]:
        """Return the fields of the body, converted; append what is wrong.

        A missing body has no fields. The items of an array past its limit are not checked.
        Raises UnsupportedMediaType.
        """
        if not body:
            if self._required:
                errors.append(body_error("required", "is required: send a JSON object"))
            return {}
        require_media_type(headers, self._media_types)
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            position = f"line {error.lineno}, column {error.colno}"
            errors.append(
                body_error("malformed", f"cannot be read as JSON in UTF-8 ({position})")
            )
            return {}
        converted = self._convert(fields)
        if converted is None:
            found = self._schema.errors(self._shorten(fields))
            errors.extend(body_error(error.code, error.detail, error.path) for error in found)
            return {}
        return converted

    def _shorten(self, fields: Json) -> Json:
        """Cut arrays one item past their limit, since it takes a second to describe 30,000."""
        if not isinstance(fields, dict):
            return fields
        return {
            name: value[: self._max_items[name] + 1]
            if name in self._max_items and isinstance(value, list)
            else value
            for name, value in fields.items()
        }

    def _convert(self, fields: Json) -> dict[str, Any] | None:
        """Return the fields as Python values; None if they break the schema."""
        if not self._structure.is_valid(fields):
            return None
        converted: dict[str, Any] = dict(fields)
        try:
            for name, convert in self._converters.items():
                if converted.get(name) is not None:
                    converted[name] = convert(converted[name])
        except (ValueError, OverflowError):
            return None
        return converted


def require_media_type(headers: RawHeaders, accepted: Sequence[bytes]) -> None:
    """Raise UnsupportedMediaType unless the body has one of these media types, in UTF-8.

    Unlike other repeated headers, two media types do not form one list.
    """
    media_types = [value for name, value in headers if name == b"content-type"]
    codings = [value.lower() for name, value in headers if name == b"content-encoding"]
    if not codings and len(media_types) == 1 and media_types[0] in accepted:
        return
    if len(media_types) != 1 or codings not in ([], [b"identity"]):
        raise UnsupportedMediaType
    if len(media_types[0]) > MAX_MEDIA_TYPE:
        raise UnsupportedMediaType
    media_type, options = parse_options_header(media_types[0])
    charset = options.get(b"charset", b"utf-8").lower()
    if media_type not in accepted or charset not in (b"utf-8", b"utf8"):
        raise UnsupportedMediaType
