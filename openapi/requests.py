"""What the contract says of one operation's requests, compiled at start.

A request goes in as an ASGI server reads it; out come the arguments of the
handler, valid and of the right Python types, or every fault at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote
from uuid import UUID

import orjson
from python_multipart.multipart import parse_options_header

from openapi.contract import Json, Operation
from openapi.schemas import Fault, Schema

MAX_FAULTS = 100
MAX_QUERY_FIELDS = 100
MAX_NAME = 100

JSON_MEDIA_TYPE = "application/json"

# Eighteen digits reach past every bound of the contract; more are not converted.
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")

Headers = Iterable[tuple[bytes, bytes]]
Grouped = Mapping[str, list[str]]
Faults = list[dict[str, str]]


class BadRequest(Exception):
    """The request breaks the contract; `faults` says where and how.

    Each fault is a dictionary with `detail` and either `pointer` or
    `parameter`, as in the contract's schema `Fault`.
    """

    def __init__(self, faults: Faults) -> None:
        """Keep at most as many faults as the contract allows in an answer."""
        super().__init__(f"{len(faults)} faults")
        self.faults = faults[:MAX_FAULTS]


class UnsupportedMediaType(Exception):
    """The body is not of a media type that the contract describes."""


class RequestReader:
    """Reads requests of one operation."""

    def __init__(self, operation: Operation) -> None:
        """Compile the operation's parameters and body."""
        self._parameters = [Parameter(p) for p in operation.parameters]
        self._query_names = {p.name for p in self._parameters if p.where == "query"}
        self._body = Body(operation.body) if operation.body else None

    @property
    def takes_body(self) -> bool:
        """Whether the operation has a request body at all."""
        return self._body is not None

    def arguments(
        self,
        *,
        path: Mapping[str, str],
        query: bytes,
        headers: Headers,
        body: bytes,
    ) -> dict[str, Any]:
        """Return the handler's arguments by name.

        Parameters have the names of the contract (`If-Match` becomes
        `if_match`), and their defaults, or None; the body is `fields`.
        Raises BadRequest with every fault, or UnsupportedMediaType.
        """
        arguments: dict[str, Any] = {}
        faults: Faults = []
        fields = _grouped((k.decode("latin-1"), v.decode("latin-1")) for k, v in headers)
        if self._body is not None:
            arguments["fields"] = self._body.read(fields, body, faults)
        given = {
            "path": {name: [value] for name, value in path.items()},
            "query": self._query(query, faults),
            "header": fields,
        }
        for parameter in self._parameters:
            arguments[parameter.argument] = parameter.read(given[parameter.where], faults)
        if faults:
            raise BadRequest(faults)
        return arguments

    def _query(self, query: bytes, faults: Faults) -> Grouped:
        if not query:
            return {}
        try:
            pairs = parse_qsl(
                query.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError:
            faults.append({"parameter": "query", "detail": "is not a valid query in UTF-8"})
            return {}
        given = _grouped(pairs)
        faults.extend(
            {"parameter": _shortened(name), "detail": "is not a known parameter"}
            for name in given.keys() - self._query_names
        )
        return given


class Parameter:
    """One parameter of an operation."""

    def __init__(self, description: Mapping[str, Json]) -> None:
        """Compile a resolved parameter object."""
        self.name: str = description["name"]
        self.where: str = description["in"]
        self.argument = self.name.lower().replace("-", "_")
        self._key = self.name.lower() if self.where == "header" else self.name
        self._required: bool = description.get("required", False)
        schema = description["schema"]
        self._default = schema.get("default")
        self._is_number = schema["type"] == "integer"
        self._schema = Schema(schema)
        self._convert = _converter(schema)

    def read(self, given: Mapping[str, list[str]], faults: Faults) -> Any:
        """Return the parameter's value, its default, or None; add what is wrong."""
        match given.get(self._key, []):
            case []:
                if self._required:
                    self._fault("is required", faults)
                return self._default
            case [text]:
                return self._read(text, faults)
            case texts if self.where == "header":
                # Repeated header fields are one list (RFC 9110, 5.3).
                return self._read(", ".join(texts), faults)
            case _:
                return self._fault("must be given only once", faults)

    def _read(self, text: str, faults: Faults) -> Any:
        value: Json = text
        if self._is_number and WHOLE_NUMBER.fullmatch(text):
            value = int(text)
        wrong = self._schema.faults(value)
        for fault in wrong:
            self._fault(fault.detail, faults)
        return None if wrong else self._convert(value)

    def _fault(self, detail: str, faults: Faults) -> None:
        faults.append({"parameter": self.name, "detail": detail})


class Body:
    """The JSON body of an operation."""

    def __init__(self, description: Mapping[str, Json]) -> None:
        """Compile a resolved request body object with one JSON media type."""
        schema = description["content"][JSON_MEDIA_TYPE]["schema"]
        self._required: bool = description.get("required", False)
        self._schema = Schema(schema)
        self._convert = {
            name: _converter(field)
            for name, field in schema["properties"].items()
            if _converter(field) is not _unchanged
        }

    def read(self, headers: Grouped, body: bytes, faults: Faults) -> dict[str, Any]:
        """Return the fields of the body, converted; add what is wrong.

        No body at all has no fields. Raises UnsupportedMediaType.
        """
        if not body:
            if self._required:
                faults.append({"pointer": "#", "detail": "is required: send a JSON object"})
            return {}
        require_json(headers)
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            faults.append({"pointer": "#", "detail": f"is not valid JSON ({where})"})
            return {}
        wrong = self._schema.faults(fields)
        if wrong:
            faults.extend({"pointer": _pointer(f), "detail": f.detail} for f in wrong)
            return {}
        for name, convert in self._convert.items():
            if fields.get(name) is not None:
                fields[name] = convert(fields[name])
        return fields  # type: ignore[no-any-return]  # the schema says it is an object


def require_json(headers: Grouped) -> None:
    """Raise UnsupportedMediaType unless the headers announce plain JSON in UTF-8."""
    media_types = headers.get("content-type", [])
    if len(media_types) != 1 or headers.get("content-encoding", ["identity"]) != ["identity"]:
        raise UnsupportedMediaType
    if media_types[0] == JSON_MEDIA_TYPE:
        return
    media_type, options = parse_options_header(media_types[0])
    charset = options.get(b"charset", b"utf-8").lower()
    if media_type.lower() != JSON_MEDIA_TYPE.encode() or charset not in (b"utf-8", b"utf8"):
        raise UnsupportedMediaType


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _converter(schema: Mapping[str, Json]) -> Callable[[Any], Any]:
    match schema.get("format"):
        case "uuid":
            return UUID
        case "date-time":
            return datetime.fromisoformat
        case _:
            return _unchanged


def _unchanged(value: Any) -> Any:
    return value


def _pointer(fault: Fault) -> str:
    """Write the path of a fault as a JSON pointer in a URI fragment (RFC 6901, 6)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in fault.path)
    return "#" + "".join(f"/{quote(_shortened(part))}" for part in parts)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
