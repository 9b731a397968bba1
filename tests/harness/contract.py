"""Validates a response against the contract: status, headers, media type and body."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httpx

from harness.cluster import OTHER_DATABASE
from harness.operation_index import Operation, operations_of
from harness.problems import check_wording
from harness.replay import Replay
from openapi import contract as contracts
from openapi.schemas import Schema

CONTRACT = contracts.load()
OPERATIONS = operations_of(CONTRACT)
REPLAY = Replay(CONTRACT)

ROOT_PATH = "/todo"
"""The path prefix of every service of the tests that is behind a proxy."""

# Statuses of any HTTP server, which `default` describes.
HTTP_STATUSES = {"405", "408", "414", "431"}

# The statuses of each operationId that this process has received.
seen_statuses: dict[str, set[str]] = defaultdict(set)


def check_response(response: httpx.Response) -> None:
    """Fail if the contract does not describe this response to its request."""
    response.read()
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    if response.is_error and response.request.method != "HEAD":
        check_problem(response)
    operation = operation_of(response.request)
    status = str(response.status_code)
    if operation is None:
        return
    where = f"{operation.operation_id} responded {status}: {response.text[:500]}"
    assert status in operation.statuses | HTTP_STATUSES, f"undocumented: {where}"
    seen_statuses[operation.operation_id].add(status)
    if not OTHER_DATABASE:  # which changes nothing for openapi-core
        REPLAY.check(response, operation, canonical_path(response.request))
    described = operation.response(response.status_code)
    _check_headers(described, response, where)
    content = described.get("content")
    if response.request.method == "HEAD":
        return
    if content is None:
        assert response.content == b"", where
        return
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in content, where
    body = json.loads(response.text)
    errors = _schema(json.dumps(closed(content[media_type]["schema"]))).errors(body)
    assert errors == [], f"{where}: {errors}"


def check_problem(response: httpx.Response) -> None:
    """Fail if an error response is not a valid problem document with the same status."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    name = "ValidationProblem" if response.status_code == HTTPStatus.BAD_REQUEST else "Problem"
    problem = CONTRACT.resolve({"$ref": f"#/components/schemas/{name}"})
    assert _schema(json.dumps(closed(problem))).errors(body) == []
    check_wording(body)


def operation_of(request: httpx.Request) -> Operation | None:
    """Return the operation of a request, in either form of its path; None if unknown."""
    path = canonical_path(request)
    method = "GET" if request.method == "HEAD" else request.method
    for operation in OPERATIONS.values():
        template = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(template, path):
            return operation
    return None


def canonical_path(request: httpx.Request) -> str:
    """Return the path of a request in the form of the contract: no prefix, no user id."""
    path = request.url.raw_path.decode().partition("?")[0].removeprefix(ROOT_PATH)
    path = re.sub(r"^/api/(?!tasks(/|$))[^/]+/tasks", "/api/tasks", path)
    return unquote(path).rstrip("/") or "/"


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without room for undocumented properties.

    Schemas of responses are open for later versions; what this one sends is described.
    """
    if "allOf" in schema:
        properties: dict[str, Any] = {}
        required: list[str] = []
        for member in schema["allOf"]:
            properties |= member["properties"]
            required += member["required"]
        return closed({"type": "object", "properties": properties, "required": required})
    if schema["type"] == "array":
        return schema | {"items": closed(schema["items"])}
    if schema["type"] != "object":
        return schema
    members = {name: closed(member) for name, member in schema["properties"].items()}
    return schema | {"properties": members, "additionalProperties": False}


def _check_headers(described: Mapping[str, Any], response: httpx.Response, where: str) -> None:
    for name, header in described.get("headers", {}).items():
        value: Any = response.headers.get(name)
        if value is None:
            assert not header.get("required"), f"{where}: no {name}"
            continue
        if header["schema"]["type"] == "integer":
            value = int(value)
        errors = _schema(json.dumps(header["schema"])).errors(value)
        assert errors == [], f"{where}: {name}: {value}: {errors}"


@cache
def _schema(text: str) -> Schema:
    return Schema(json.loads(text))
