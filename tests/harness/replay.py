"""Validates every request and response again with openapi-core, independently.

A request that was served must be valid, one that got a 400 must not, and every response must
be valid. openapi-core is slow, so bodies are validated apart from headers, each parameter on
its own, and each of these once, if they differ only in ids, times, cursors and tokens.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
import orjson
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.validation.request import (
    V30RequestBodyValidator,
    V30RequestParametersValidator,
    V30RequestSecurityValidator,
)
from openapi_core.validation.request.exceptions import (
    MissingRequestBody,
    MissingRequiredParameter,
)
from openapi_core.validation.response import (
    V30ResponseDataValidator,
    V30ResponseHeadersValidator,
)
from werkzeug.datastructures import Headers, ImmutableMultiDict

from harness.operation_index import Operation
from openapi.contract import Contract

# Statuses of requests that passed validation.
VALID_REQUEST_STATUSES = {200, 201, 204, 304, 404, 410, 412, 422}

# Errors that openapi-core does not detect, and why.
NOT_DETECTED = {
    # OpenAPI cannot forbid other query parameters.
    "is not a known parameter",
    "must have at most 100 parameters",
    # It uses one of the values.
    "must be given only once",
    # It uses Python's int(), which accepts more than digits: 1_000, +5.
    "must be a whole number",
    # It gets the query decoded, with replacement characters for invalid bytes.
    "must be text in UTF-8",
    # It also accepts other spellings of a boolean in a query: yes, 1, True.
    "must be true or false",
    # To it, cursors and tokens are opaque.
    "must be a cursor from a next link, for the same sort and order",
    "must be a token from a response",
    # It accepts a time whose year is 10000 in UTC.
    "must be a date and time that exists, in the years 1000 to 9999 UTC",
}

# Values that differ between exchanges, and their replacements.
VOLATILE = {
    re.compile(rb"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"): str(UUID(int=0)).encode(),
    re.compile(rb"\b[0-9a-f]{32}\b"): UUID(int=0).hex.encode(),
    re.compile(rb"(?<![0-9])[0-9]{16}(?![0-9])"): b"1764086400123456",  # a revision
    re.compile(rb"\bWyJ[A-Za-z0-9_-]{9,3997}(?![A-Za-z0-9_-])"): b"WyJ",  # a cursor
    re.compile(rb"T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}Z"): b"T00:00:00.000000Z",
}

Target = tuple[str, str]
Pairs = tuple[tuple[str, str], ...]


class ReplayedRequest:
    """A request in the interface of openapi-core."""

    host_url = "http://localhost"

    def __init__(
        self,
        method: str,
        path: str,
        query: Pairs = (),
        headers: Pairs = (),
        body: bytes = b"",
    ) -> None:
        """Create a request with its canonical path."""
        self.method = method.lower()
        self.path = path
        self.body = body
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(query), header=Headers(headers)
        )
        # Without parameters, on which openapi-core fails.
        media_type: str = dict(headers).get("content-type", "").partition(";")[0]
        self.content_type = media_type.strip().lower()


class ReplayedResponse:
    """A response in the interface of openapi-core."""

    def __init__(self, status_code: int, headers: Pairs, data: bytes) -> None:
        """Create a response."""
        self.status_code = status_code
        self.headers = Headers(headers)
        self.content_type = dict(headers).get("content-type", "")
        self.data = data


class Replay:
    """Validates exchanges against a contract with openapi-core."""

    def __init__(self, contract: Contract) -> None:
        """Load the contract."""
        media_types = (
            "application/json",
            "application/merge-patch+json",
            "application/problem+json",
        )
        readers: dict[str, Callable[[bytes], Any]] = dict.fromkeys(media_types, orjson.loads)
        options: dict[str, Any] = {
            "extra_media_type_deserializers": readers,
            "extra_format_validators": {"date-time": is_date_time},
        }
        bodies = Config(
            request_validator_cls=V30RequestBodyValidator,
            response_validator_cls=V30ResponseDataValidator,
            **options,
        )
        self._bodies = OpenAPI.from_dict(contract.document, config=bodies)
        parameters = Config(
            request_validator_cls=V30RequestParametersValidator,
            response_validator_cls=V30ResponseHeadersValidator,
            **options,
        )
        self._parameters = OpenAPI(self._bodies.spec, config=parameters)
        security = Config(request_validator_cls=V30RequestSecurityValidator)
        self._security = OpenAPI(self._bodies.spec, config=security)
        self._security_errors = cache(self._find_security_errors)
        self._parameter_errors = cache(self._find_parameter_errors)
        self._body_errors = cache(self._find_body_errors)
        self._header_errors = cache(self._find_header_errors)
        self._data_errors = cache(self._find_data_errors)

    def check(self, response: httpx.Response, operation: Operation, path: str) -> None:
        """Fail if openapi-core disagrees with the service about the request or the response."""
        target = operation.method, normalise(path.encode()).decode()
        if response.request.method != "HEAD":
            self._check_response(response, operation, target)
        with suppress(httpx.RequestNotRead):  # a streamed body is gone
            self._check_request(response, operation, target, response.request.content)

    def _check_response(
        self, response: httpx.Response, operation: Operation, target: Target
    ) -> None:
        status = response.status_code
        described = operation.response(status).get("headers", {})
        headers = _only(described, response.headers)
        errors = [
            *self._header_errors(target, status, headers),
            *self._data_errors(
                target, status, _media_type(headers), normalise(response.content)
            ),
        ]
        assert errors == [], f"openapi-core on the answer: {errors}"

    def _check_request(
        self, response: httpx.Response, operation: Operation, target: Target, body: bytes
    ) -> None:
        request, status = response.request, response.status_code
        described = [parameter["name"] for parameter in operation.parameters]
        query = _normalised(
            pair for pair in request.url.params.multi_items() if pair[0] in described
        )
        headers = _only(described, request.headers)
        errors = [
            *self._security_errors(target, has_token="authorization" in request.headers),
            *self._all_parameter_errors(target, query, headers),
            *self._body_errors(target, _media_type(headers), normalise(body)),
        ]
        if status in VALID_REQUEST_STATUSES:
            assert errors == [], f"openapi-core on the request that got a {status}: {errors}"
        if status == HTTPStatus.BAD_REQUEST and not errors:
            details = {error["detail"] for error in response.json()["errors"]}
            assert details <= NOT_DETECTED, (
                f"openapi-core finds nothing wrong, not even {details}"
            )

    def _find_security_errors(self, target: Target, *, has_token: bool) -> list[str]:
        headers = (("authorization", "Bearer token"),) if has_token else ()
        replayed = ReplayedRequest(*target, headers=headers)
        return [repr(error) for error in self._security.iter_request_errors(replayed)]

    def _all_parameter_errors(self, target: Target, query: Pairs, headers: Pairs) -> set[str]:
        """Validate each parameter on its own: there are fewer values than combinations."""
        given = {name for name, _ in (*query, *headers)}
        replays: list[tuple[Pairs, Pairs]] = [((), ())]
        replays += [(each, ()) for each in _by_name(query)]
        replays += [((), each) for each in _by_name(headers)]
        return {
            error
            for pairs in replays
            for missing, error in self._parameter_errors(target, *pairs)
            if missing not in given
        }

    def _find_parameter_errors(
        self, target: Target, query: Pairs, headers: Pairs
    ) -> list[tuple[str | None, str]]:
        """Return the errors, each with the name of the parameter that it says is missing."""
        replayed = ReplayedRequest(*target, query, headers)
        errors = self._parameters.iter_request_errors(replayed)
        return [
            (error.name if isinstance(error, MissingRequiredParameter) else None, repr(error))
            for error in errors
        ]

    def _find_body_errors(self, target: Target, media_type: Pairs, body: bytes) -> list[str]:
        replayed = ReplayedRequest(*target, (), media_type, body)
        try:
            return [
                repr(error)
                for error in self._bodies.iter_request_errors(replayed)
                if not isinstance(error, MissingRequestBody)  # one that is not required
            ]
        except RecursionError:  # raised while describing an error in deeply nested JSON
            return ["is nested deeply"]

    def _find_header_errors(self, target: Target, status: int, headers: Pairs) -> list[str]:
        response = ReplayedResponse(status, headers, b"")
        errors = self._parameters.iter_response_errors(ReplayedRequest(*target), response)
        return [f"{error!r} {error.__cause__!r}" for error in errors]

    def _find_data_errors(
        self, target: Target, status: int, media_type: Pairs, data: bytes
    ) -> list[str]:
        response = ReplayedResponse(status, media_type, data)
        errors = self._bodies.iter_response_errors(ReplayedRequest(*target), response)
        return [f"{error!r} {error.__cause__!r}" for error in errors]


def is_date_time(value: object) -> bool:
    """Return whether a text is a date-time; openapi-core's allows a newline after it."""
    try:
        return not isinstance(value, str) or bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def normalise(content: bytes) -> bytes:
    """Replace ids and times by constants."""
    for pattern, replacement in VOLATILE.items():
        content = pattern.sub(replacement, content)
    return content


def _only(described: Iterable[str], headers: httpx.Headers) -> Pairs:
    names = {"content-type", *map(str.lower, described)}
    return _normalised(pair for pair in headers.multi_items() if pair[0] in names)


def _normalised(pairs: Iterable[tuple[str, str]]) -> Pairs:
    return tuple((name, normalise(value.encode()).decode()) for name, value in pairs)


def _by_name(pairs: Pairs) -> Iterator[Pairs]:
    for name in dict(pairs):
        yield tuple(pair for pair in pairs if pair[0] == name)


def _media_type(headers: Pairs) -> Pairs:
    return tuple(pair for pair in headers if pair[0] == "content-type")
