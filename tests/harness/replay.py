"""Every exchange a second time, through openapi-core: another reading of the contract.

It says whether a request and its answer are as described. A request that was served must
be, one that got a 400 must not, and every answer must be. It is slow, so what is the same
but for ids, times and tokens is replayed once.
"""

import re
from collections.abc import Callable, Iterable
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
from werkzeug.datastructures import Headers, ImmutableMultiDict

from harness.operation_index import Operation
from openapi.contract import Contract

# A request with one of these was found to keep the contract.
VALID_REQUEST_STATUSES = {200, 201, 204, 304, 404, 412}

# Faults that openapi-core cannot see, and why.
NOT_DETECTED = {
    # OpenAPI has no word for it: a query with other parameters is as good.
    "is not a known parameter",
    "must have at most 100 parameters",
    # It takes one of them, whichever.
    "must be given only once",
    # Python's int() reads more than digits: 1_000, +5.
    "must be a whole number",
    # It gets the query decoded, with a substitute for what is no text.
    "must be text in UTF-8",
    # It exists, but in UTC it is in the year 10000.
    "must be a date and time that exists, in the years 1000 to 9999 UTC",
}

# What differs from one exchange to the next, and something as good instead.
VOLATILE = {
    re.compile(rb"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"): str(UUID(int=0)).encode(),
    re.compile(rb"\b[0-9a-f]{32}\b"): UUID(int=0).hex.encode(),
    re.compile(rb"T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}Z"): b"T00:00:00.000000Z",
}

Target = tuple[str, str]
Pairs = tuple[tuple[str, str], ...]


class ReplayedRequest:
    """A request as openapi-core wants it."""

    host_url = "http://localhost"

    def __init__(
        self,
        method: str,
        path: str,
        query: Pairs = (),
        headers: Pairs = (),
        body: bytes = b"",
    ) -> None:
        """Describe a request in the flat form of its path."""
        self.method = method.lower()
        self.path = path
        self.body = body
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(query), header=Headers(headers)
        )
        # Without parameters: it fails on those that others overlook.
        media_type: str = dict(headers).get("content-type", "").partition(";")[0]
        self.content_type = media_type.strip().lower()


class ReplayedResponse:
    """An answer as openapi-core wants it."""

    def __init__(self, status_code: int, headers: Pairs, data: bytes) -> None:
        """Describe an answer."""
        self.status_code = status_code
        self.headers = Headers(headers)
        self.content_type = dict(headers).get("content-type", "")
        self.data = data


class Replay:
    """Exchanges held against a contract by openapi-core."""

    def __init__(self, contract: Contract) -> None:
        """Let it read the contract."""
        media_types = ("application/json", "application/problem+json")
        readers: dict[str, Callable[[bytes], Any]] = dict.fromkeys(media_types, orjson.loads)
        config = Config(
            extra_media_type_deserializers=readers,
            extra_format_validators={"date-time": is_date_time},
        )
        self._openapi = OpenAPI.from_dict(contract.document, config=config)
        self._faults_of_request = cache(self._find_faults_of_request)
        self._faults_of_answer = cache(self._find_faults_of_answer)

    def check(self, response: httpx.Response, operation: Operation, path: str) -> None:
        """Fail if openapi-core does not agree with the service, or with its answer."""
        target = operation.method, normalise(path.encode()).decode()
        if response.request.method != "HEAD":
            self._check_answer(response, operation, target)
        with suppress(httpx.RequestNotRead):  # sent piece by piece, it is gone
            self._check_request(response, operation, target, response.request.content)

    def _check_answer(
        self, response: httpx.Response, operation: Operation, target: Target
    ) -> None:
        status = response.status_code
        described = operation.responses[str(status)].get("headers", {})
        headers = _only(described, response.headers)
        faults = self._faults_of_answer(target, status, headers, normalise(response.content))
        assert faults == [], f"openapi-core on the answer: {faults}"

    def _check_request(
        self, response: httpx.Response, operation: Operation, target: Target, body: bytes
    ) -> None:
        request, status = response.request, response.status_code
        query = tuple(request.url.params.multi_items())
        headers = _only((each["name"] for each in operation.parameters), request.headers)
        if "authorization" in request.headers:
            headers += (("authorization", "Bearer token"),)
        faults = self._faults_of_request(target, query, headers, normalise(body))
        if status in VALID_REQUEST_STATUSES:
            assert faults == [], f"openapi-core on the request that got a {status}: {faults}"
        if status == HTTPStatus.BAD_REQUEST and not faults:
            details = {fault["detail"] for fault in response.json()["errors"]}
            assert details <= NOT_DETECTED, (
                f"openapi-core finds nothing wrong, not even {details}"
            )

    def _find_faults_of_request(
        self, target: Target, query: Pairs, headers: Pairs, body: bytes
    ) -> list[str]:
        asked = ReplayedRequest(*target, query, headers, body)
        try:
            return [repr(error) for error in self._openapi.iter_request_errors(asked)]
        except RecursionError:  # while it describes what is nested deeply, and wrong
            return ["is nested deeply"]

    def _find_faults_of_answer(
        self, target: Target, status: int, headers: Pairs, data: bytes
    ) -> list[str]:
        asked = ReplayedRequest(*target)
        answered = ReplayedResponse(status, headers, data)
        errors = self._openapi.iter_response_errors(asked, answered)
        return [f"{error!r} {error.__cause__!r}" for error in errors]


def is_date_time(value: object) -> bool:
    """Tell whether a text is one; openapi-core lets a line break follow it, as its `$` does."""
    try:
        return not isinstance(value, str) or bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def normalise(content: bytes) -> bytes:
    """Return what is as good, and the same for many."""
    for pattern, replacement in VOLATILE.items():
        content = pattern.sub(replacement, content)
    return content


def _only(described: Iterable[str], headers: httpx.Headers) -> Pairs:
    names = {"content-type", *map(str.lower, described)}
    return tuple(
        (name, normalise(value.encode()).decode())
        for name, value in headers.multi_items()
        if name in names
    )
