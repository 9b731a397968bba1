"""The JSON body of a request, compiled from the contract."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header

from openapi.contract import Json
from openapi.faults import Faults, UnsupportedMediaType, body_fault
from openapi.schemas import Schema, converter, unchanged

JSON_MEDIA_TYPE = "application/json"

RawHeaders = Iterable[tuple[bytes, bytes]]


class Body:
    """The JSON body of an operation."""

    def __init__(self, description: Mapping[str, Json]) -> None:
        """Compile a resolved request body object with one JSON media type."""
        schema = description["content"][JSON_MEDIA_TYPE]["schema"]
        self._required: bool = description.get("required", False)
        self._schema = Schema(schema)
        self._form = Schema(schema, formats=False)  # which are converted to be checked
        self._convert = {
            name: converter(field)
            for name, field in schema["properties"].items()
            if converter(field) is not unchanged
        }

    def read(self, headers: RawHeaders, body: bytes, faults: Faults) -> dict[str, Any]:
        """Return the fields of the body, converted; add what is wrong.

        No body at all has no fields. Raises UnsupportedMediaType.
        """
        if not body:
            if self._required:
                faults.append(body_fault("is required: send a JSON object"))
            return {}
        require_json(headers)
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            faults.append(body_fault(f"cannot be read as JSON in UTF-8 ({where})"))
            return {}
        converted = self._converted(fields)
        if converted is None:
            wrong = self._schema.faults(fields)
            faults.extend(body_fault(fault.detail, fault.path) for fault in wrong)
            return {}
        return converted

    def _converted(self, fields: Json) -> dict[str, Any] | None:
        """Return the fields as Python values; None if they break the schema."""
        if not self._form.allows(fields):
            return None
        converted: dict[str, Any] = dict(fields)
        try:
            for name, convert in self._convert.items():
                if converted.get(name) is not None:
                    converted[name] = convert(converted[name])
        except (ValueError, OverflowError):
            return None
        return converted


def require_json(headers: RawHeaders) -> None:
    """Raise UnsupportedMediaType unless the headers announce plain JSON in UTF-8.

    Unlike other headers that are sent twice, two media types do not make one list.
    """
    media_types = [value for name, value in headers if name == b"content-type"]
    codings = [value.lower() for name, value in headers if name == b"content-encoding"]
    if media_types == [JSON_MEDIA_TYPE.encode()] and not codings:
        return
    if len(media_types) != 1 or codings not in ([], [b"identity"]):
        raise UnsupportedMediaType
    media_type, options = parse_options_header(media_types[0])
    charset = options.get(b"charset", b"utf-8").lower()
    if media_type.lower() != JSON_MEDIA_TYPE.encode() or charset not in (b"utf-8", b"utf8"):
        raise UnsupportedMediaType
