"""Problem documents: their fields, and what a person reads of several errors."""

from typing import Any

import orjson
import pytest
from starlette.responses import Response

from handlers.api.problem_types import PROBLEM_TYPES
from handlers.api.problems import (
    MAX_INSTANCE,
    MAX_SENTENCES,
    MethodNotAllowed,
    PathNotFound,
    error_response,
    problem_document,
)
from handlers.api.request_body import ContentTooLarge
from handlers.auth import Forbidden, UserBlocked
from handlers.auth.jwks import KeysUnavailable
from handlers.auth.limited import TooManyInvalidTokens
from handlers.auth.rate_limiter import TooManyRequests
from handlers.auth.verifier import MISSING, InvalidToken
from models.errors import (
    ChangesExpired,
    KeyReused,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    Unavailable,
    VersionConflict,
)
from openapi.errors import (
    MAX_ERRORS,
    BadRequest,
    UnsupportedMediaType,
    body_error,
    parameter_error,
)


def scope(path: bytes = b"/api/tasks") -> dict[str, Any]:
    return {"raw_path": path, "state": {"request_id": "the id"}}


def responded(error: Exception) -> tuple[Response, dict[str, Any]]:
    response = error_response(scope(), error)
    return response, orjson.loads(response.body)


def detail(*errors: dict[str, str]) -> str:
    return str(responded(BadRequest([*errors]))[1]["detail"])


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (BadRequest([]), "bad-request"),
        (Forbidden("alice"), "forbidden"),
        (UserBlocked(), "user-blocked"),
        (PermissionDenied(), "forbidden"),
        (PathNotFound(), "not-found"),
        (NotFound(), "not-found"),
        (ChangesExpired(), "changes-expired"),
        (VersionConflict(), "precondition-failed"),
        (ContentTooLarge(), "content-too-large"),
        (UnsupportedMediaType(), "unsupported-media-type"),
        (KeyReused(), "idempotency-key-reused"),
        (KeyError("x"), "internal-server-error"),
        (Unavailable(), "service-unavailable"),
        (OutcomeUnknown(), "outcome-unknown"),
        (KeysUnavailable(), "service-unavailable"),
        (TooManyRequests(1), "too-many-requests"),
        (TooManyInvalidTokens(1), "too-many-requests"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_problem_type(error: Exception, slug: str) -> None:
    response, body = responded(error)
    assert response.status_code == body["status"] == PROBLEM_TYPES[slug].status
    assert response.media_type == "application/problem+json"
    assert body["type"] == PROBLEM_TYPES[slug].type
    assert body["title"] == PROBLEM_TYPES[slug].title


def test_a_path_and_a_task_that_are_not_found_are_told_apart() -> None:
    assert responded(PathNotFound())[1]["detail"] == "There is nothing at this path."
    assert responded(NotFound())[1]["detail"] == "No task has this id."


def test_a_method_that_is_not_allowed_comes_with_those_that_are() -> None:
    response, body = responded(MethodNotAllowed(["GET", "POST"]))
    assert response.status_code == body["status"] == 405
    assert response.headers["allow"] == "GET, POST, HEAD"


def test_an_invalid_token_comes_with_a_challenge() -> None:
    response, body = responded(InvalidToken("The token has expired."))
    assert response.status_code == 401
    assert body["detail"] == "The token has expired."
    assert response.headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="The token has expired."'
    )


def test_a_missing_token_comes_with_a_challenge_without_an_error() -> None:
    response, _ = responded(InvalidToken(MISSING))
    assert response.headers["www-authenticate"] == "Bearer"


def test_an_outage_says_when_to_retry_and_of_what() -> None:
    response, body = responded(Unavailable(retry_after=7))
    assert response.headers["retry-after"] == "7"
    assert "database" in body["detail"]
    response, body = responded(KeysUnavailable())
    assert response.headers["retry-after"] == "2"
    assert "keys" in body["detail"]


def test_the_first_five_errors_are_in_the_sentence_and_all_in_the_list() -> None:
    errors = [
        parameter_error(f"p{n}", "malformed", "is wrong") for n in range(MAX_SENTENCES + 2)
    ]
    first = " ".join(f"p{n}: is wrong." for n in range(MAX_SENTENCES))
    assert detail(*errors[:MAX_SENTENCES]) == first
    assert detail(*errors[: MAX_SENTENCES + 1]) == f"{first} And 1 more."
    assert detail(*errors) == f"{first} And 2 more."
    assert responded(BadRequest(errors))[1]["errors"] == errors
    assert MAX_SENTENCES == 5


def test_errors_that_are_left_out_are_counted() -> None:
    errors = [parameter_error("p", "malformed", "is wrong")] * (MAX_ERRORS + 50)
    body = responded(BadRequest(errors))[1]
    assert body["errors"] == errors[:MAX_ERRORS]
    assert body["detail"].endswith(f"And {MAX_ERRORS + 50 - MAX_SENTENCES} more.")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), "body"),
        (("title",), "title"),
        (("tags", 0), "tags/0"),
        (("a/b~c",), "a/b~c"),
        (("~1",), "~1"),
        (("é %41",), "é %41"),
        (("",), '""'),
    ],
)
def test_a_field_is_named_as_it_was_sent(path: tuple[str | int, ...], name: str) -> None:
    assert detail(body_error("malformed", "is wrong", path)) == f"{name}: is wrong."


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        (b"/api/tasks", "/api/tasks"),
        (b"/a%20b%", "/a%20b%25"),
        (b"/%4", "/%254"),
        (b"/%zz%aF", "/%25zz%aF"),
        (b"/\xff\"<'>", "/%FF%22%3C'%3E"),
        (b"/" + MAX_INSTANCE * b"x", "/" + (MAX_INSTANCE - 1) * "x"),
    ],
)
def test_the_instance_is_the_path_as_a_uri(path: bytes, instance: str) -> None:
    assert orjson.loads(problem_document(scope(path), "not-found"))["instance"] == instance
    assert MAX_INSTANCE == 333


def test_type_and_instance_begin_with_the_path_prefix() -> None:
    for path in (b"/api/tasks", b"/" + MAX_INSTANCE * b"x"):
        prefixed = {**scope(path), "root_path": "/todo"}
        problem = orjson.loads(problem_document(prefixed, "not-found"))
        assert problem["type"] == "/todo/problems/not-found"
        assert problem["instance"] == f"/todo{path.decode()}"[:MAX_INSTANCE]


def test_extensions_are_part_of_the_document() -> None:
    body = orjson.loads(problem_document(scope(), "bad-request", detail="No.", extra=[1]))
    assert body == {
        "type": "/problems/bad-request",
        "title": "Bad request",
        "status": 400,
        "detail": "No.",
        "instance": "/api/tasks",
        "request_id": "the id",
        "extra": [1],
    }


def test_a_bug_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    bug = KeyError("a secret")
    _, body = responded(bug)
    assert "a secret" not in str(body)
    (record,) = caplog.records
    assert record.getMessage() == "the request failed"
    assert record.exc_info
    assert record.exc_info[1] is bug
