"""Request validation for one operation, compiled from the contract at start.

It takes a request as an ASGI server delivers it and returns the arguments of the handler,
valid and converted to Python types, or reports every error at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from openapi.body import Body, RawHeaders
from openapi.contract import Json
from openapi.errors import BadRequest, Errors, parameter_error
from openapi.parameters import Parameter

MAX_QUERY_FIELDS = 100
TOO_MANY = parameter_error(
    "query", "too_many", f"must have at most {MAX_QUERY_FIELDS} parameters"
)


class RequestValidator:
    """Validates requests of one operation."""

    def __init__(
        self, parameters: Sequence[Mapping[str, Json]], body: Mapping[str, Json] | None
    ) -> None:
        """Compile resolved parameter objects, and a request body object if there is one."""
        self._parameters = [Parameter(definition) for definition in parameters]
        query = [p for p in self._parameters if p.location == "query"]
        self._query_names = {p.name for p in query}
        self._array_names = {p.name for p in query if p.is_array}
        self._body = Body(body) if body else None
        self.takes_body = self._body is not None
        """Whether the operation has a request body at all."""
        names = {p.name.lower() for p in self._parameters if p.location == "header"}
        self._header_names = {name.encode(): name for name in names}

    def validate(
        self,
        *,
        path: Mapping[str, str],
        query: bytes,
        headers: RawHeaders,
        body: bytes,
    ) -> dict[str, Any]:
        """Return the handler's arguments by name.

        Parameters keep their names in the contract (`If-Match` becomes `if_match`) and have
        their value, their default, or None; the body is `fields`. Raises BadRequest with
        every error, or UnsupportedMediaType.
        """
        errors: Errors = []
        arguments: dict[str, Any] = {}
        if self._body is not None:
            arguments["fields"] = self._body.validate(headers, body, errors)
        values: dict[str, Mapping[str, Json]] = {
            "path": path,
            "query": self._parse_query(query, errors) if query else {},
            "header": self._collect_headers(headers),
        }
        reported = {error.get("parameter") for error in errors}
        if TOO_MANY in errors:
            reported |= self._query_names
        for parameter in self._parameters:
            if parameter.location == "query" and parameter.name in reported:
                continue  # not also missing because of that
            arguments[parameter.argument] = parameter.validate(
                values[parameter.location], errors
            )
        if errors:
            raise BadRequest(errors)
        return arguments

    def _collect_headers(self, headers: RawHeaders) -> dict[str, str]:
        values: dict[str, str] = {}
        for raw_name, value in headers:
            if raw_name in self._header_names:
                name, text = self._header_names[raw_name], value.decode("latin-1")
                # Repeated header fields form one list (RFC 9110, 5.3).
                values[name] = f"{values[name]}, {text}" if name in values else text
        return values

    def _parse_query(self, query: bytes, errors: Errors) -> dict[str, Json]:
        try:
            pairs = parse_qsl(
                query.decode(errors="surrogateescape"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError:
            errors.append(TOO_MANY)
            return {}
        values: dict[str, Json] = {}
        repeated: dict[str, None] = {}  # a set has another order in each process
        for name, value in pairs:
            if name not in self._query_names:
                readable = name.encode(errors="replace").decode()
                errors.append(parameter_error(readable, "unknown", "is not a known parameter"))
            elif not _is_unicode(value):
                errors.append(parameter_error(name, "malformed", "must be text in UTF-8"))
            elif name in self._array_names:
                values.setdefault(name, []).append(value)
            elif name in values:
                repeated[name] = None
            else:
                values[name] = value
        for name in repeated:
            errors.append(parameter_error(name, "repeated", "must be given only once"))
            del values[name]
        return values


def _is_unicode(text: str) -> bool:
    """Return whether a text has no bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
