"""What the contract says of one operation's requests, compiled at start.

A request goes in as an ASGI server reads it; out come the arguments of the
handler, valid and of the right Python types, or every fault at once.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from openapi.body import Body, RawHeaders
from openapi.contract import Operation
from openapi.faults import BadRequest, Faults, parameter_fault
from openapi.parameters import Parameter

MAX_QUERY_FIELDS = 100


class RequestReader:
    """Reads requests of one operation."""

    def __init__(self, operation: Operation) -> None:
        """Compile the operation's parameters and body."""
        self._parameters = [Parameter(p) for p in operation.parameters]
        self._query_names = {p.name for p in self._parameters if p.where == "query"}
        self._body = Body(operation.body) if operation.body else None
        self.takes_body = self._body is not None
        """Whether the operation has a request body at all."""
        names = {p.name.lower() for p in self._parameters if p.where == "header"}
        self._header_names = {name.encode(): name for name in names}

    def arguments(
        self,
        *,
        path: Mapping[str, str],
        query: bytes,
        headers: RawHeaders,
        body: bytes,
    ) -> dict[str, Any]:
        """Return the handler's arguments by name.

        Parameters have the names of the contract (`If-Match` becomes
        `if_match`), and their defaults, or None; the body is `fields`.
        Raises BadRequest with every fault, or UnsupportedMediaType.
        """
        faults: Faults = []
        arguments: dict[str, Any] = {}
        if self._body is not None:
            arguments["fields"] = self._body.read(headers, body, faults)
        given = {
            "path": path,
            "query": self._query(query, faults) if query else {},
            "header": self._headers(headers),
        }
        for parameter in self._parameters:
            arguments[parameter.argument] = parameter.read(given[parameter.where], faults)
        if faults:
            raise BadRequest(faults)
        return arguments

    def _headers(self, headers: RawHeaders) -> dict[str, str]:
        given: dict[str, str] = {}
        for raw_name, value in headers:
            if raw_name in self._header_names:
                name, text = self._header_names[raw_name], value.decode("latin-1")
                # Repeated header fields are one list (RFC 9110, 5.3).
                given[name] = f"{given[name]}, {text}" if name in given else text
        return given

    def _query(self, query: bytes, faults: Faults) -> dict[str, str]:
        try:
            pairs = parse_qsl(
                query.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except UnicodeDecodeError:
            faults.append(parameter_fault("query", "must be text in UTF-8"))
            return {}
        except ValueError:
            many = f"must have at most {MAX_QUERY_FIELDS} parameters"
            faults.append(parameter_fault("query", many))
            return {}
        given = dict(pairs)
        for name in given:
            if name not in self._query_names:
                faults.append(parameter_fault(name, "is not a known parameter"))
        if len(given) < len(pairs):
            for name, times in Counter(name for name, _ in pairs).items():
                if times > 1 and name in self._query_names:
                    faults.append(parameter_fault(name, "must be given only once"))
                    del given[name]
        return given
