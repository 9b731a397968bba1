"""The replay of requests and responses through openapi-core detects violations."""

from typing import Any

import httpx
import pytest

from harness.clients import AuthedClient
from harness.contract import OPERATIONS, REPLAY, check_response

CREATE = OPERATIONS["create_task"]


@pytest.fixture
def created(alice: AuthedClient) -> httpx.Response:
    return alice.post("/api/tasks", json={"title": "Water the plants"})


def changed(
    response: httpx.Response, status: int = 201, *, without: str = "", **body: Any
) -> httpx.Response:
    """Return a modified copy of a response."""
    headers = {name: value for name, value in response.headers.items() if name != without}
    content = httpx.Response(status, json=response.json() | body).content
    headers["content-length"] = str(len(content))
    return httpx.Response(status, headers=headers, content=content, request=response.request)


def test_every_checked_response_is_replayed(created: httpx.Response) -> None:
    check_response(changed(created))
    with pytest.raises(AssertionError, match="openapi-core"):
        REPLAY.check(changed(created, title=""), CREATE, "/api/tasks")


def test_an_undocumented_field_is_noticed(created: httpx.Response) -> None:
    with pytest.raises(AssertionError, match="is not a known field"):
        check_response(changed(created, colour="green"))


@pytest.mark.parametrize("header", ["etag", "location", "x-request-id"])
def test_a_missing_header_is_noticed(created: httpx.Response, header: str) -> None:
    with pytest.raises(AssertionError, match="MissingRequiredHeader"):
        REPLAY.check(changed(created, without=header), CREATE, "/api/tasks")


@pytest.mark.parametrize(
    "body",
    [
        {"title": None},
        {"id": "1"},
        {"due_date": "2026-02-30T00:00:00.000000Z"},
        {"created_at": "yesterday"},
    ],
    ids=str,
)
def test_a_body_that_does_not_match_the_contract_is_noticed(
    created: httpx.Response, body: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError, match="on the answer"):
        REPLAY.check(changed(created, **body), CREATE, "/api/tasks")


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"title": " "}},
        {"json": {"title": "x", "colour": "green"}},
        {"json": {"title": "x", "due_date": "2026-12-01"}},
        {"json": {}},
        {"content": b"{"},
        {"content": b""},
    ],
    ids=str,
)
def test_a_request_that_should_not_have_been_served_is_noticed(
    created: httpx.Response, sent: dict[str, Any]
) -> None:
    request = httpx.Request(
        "POST",
        created.request.url,
        headers={"Authorization": "Bearer x", "Content-Type": "application/json"},
        **sent,
    )
    created.request = request
    with pytest.raises(AssertionError, match="on the request that got a 201"):
        REPLAY.check(created, CREATE, "/api/tasks")


def test_a_request_without_a_token_that_was_served_is_noticed(created: httpx.Response) -> None:
    del created.request.headers["authorization"]
    with pytest.raises(AssertionError, match="SecurityValidationError"):
        REPLAY.check(created, CREATE, "/api/tasks")


def test_a_valid_request_that_is_refused_is_noticed(
    alice: AuthedClient, created: httpx.Response
) -> None:
    refused = alice.post("/api/tasks", json={"title": ""})
    refused.request = created.request
    with pytest.raises(AssertionError, match="finds nothing wrong"):
        REPLAY.check(refused, CREATE, "/api/tasks")
