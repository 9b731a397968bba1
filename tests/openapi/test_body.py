"""The body of a request: its media type, its JSON, and its fields as Python values."""

from datetime import UTC, datetime
from typing import Any

import pytest

from openapi.body import Body, require_media_type
from openapi.errors import Errors, UnsupportedMediaType

JSON = b"application/json"
PATCH = b"application/merge-patch+json"
ACCEPTED = [JSON, PATCH]
NOTE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "maxLength": 5},
        "due": {"type": "string", "format": "date-time", "nullable": True},
        "remind": {"type": "string", "format": "date-time", "nullable": True},
        "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
    },
}
NO_SUCH_TIME = {
    "code": "wrong_format",
    "detail": "must be a date and time that exists, in the years 1000 to 9999 UTC",
}


def body(**members: Any) -> Body:
    return Body({"content": {JSON.decode(): {"schema": NOTE}}, **members})


def validate(text: bytes, media_type: bytes = JSON) -> tuple[dict[str, Any], Errors]:
    errors: Errors = []
    fields = body(required=True).validate([(b"content-type", media_type)], text, errors)
    return fields, errors


def test_fields_are_returned_with_instants_converted() -> None:
    assert validate(b'{"title": "x"}') == ({"title": "x"}, [])
    assert validate(b'{"title": "x", "due": null}') == ({"title": "x", "due": None}, [])
    text = b'{"title": "x", "due": "2026-12-01T18:00:00+01:00", "remind": "1000-01-01T00:00Z"}'
    assert validate(text) == (
        {
            "title": "x",
            "due": datetime(2026, 12, 1, 17, tzinfo=UTC),
            "remind": datetime(1000, 1, 1, tzinfo=UTC),
        },
        [],
    )


def test_of_an_array_that_is_too_long_few_items_are_checked() -> None:
    _, errors = validate(b'{"title": "x", "tags": [%b1]}' % (b"1," * 30_000))
    wrong = {"code": "wrong_type", "detail": "must be a string"}
    assert sorted(errors, key=lambda error: error["pointer"]) == [
        {"pointer": "#/tags", "code": "too_many", "detail": "must have at most 2 items"},
        *({"pointer": f"#/tags/{index}", **wrong} for index in range(3)),
    ]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (b"[]", [{"pointer": "#", "code": "wrong_type", "detail": "must be a JSON object"}]),
        (b"null", [{"pointer": "#", "code": "wrong_type", "detail": "must be a JSON object"}]),
        (b"{}", [{"pointer": "#/title", "code": "required", "detail": "is required"}]),
        (
            b'{"title": "123456"}',
            [
                {
                    "pointer": "#/title",
                    "code": "too_long",
                    "detail": "must be at most 5 characters long",
                }
            ],
        ),
        (
            b'{"title": "x", "due": "2026-02-30T00:00:00Z"}',
            [{"pointer": "#/due", **NO_SUCH_TIME}],
        ),
        (
            b'{"title": "x", "due": null, "remind": "9999-12-31T23:59:59-01:00"}',
            [{"pointer": "#/remind", **NO_SUCH_TIME}],
        ),
        (
            b'{"title": "x", "a/b": 1}',
            [{"pointer": "#/a~1b", "code": "unknown", "detail": "is not a known field"}],
        ),
        (
            b'{"title":\n "x",}',
            [
                {
                    "pointer": "#",
                    "code": "malformed",
                    "detail": "cannot be read as JSON in UTF-8 (line 2, column 5)",
                }
            ],
        ),
    ],
)
def test_an_invalid_body_has_no_fields_and_its_errors_are_reported(
    text: bytes, errors: Errors
) -> None:
    assert validate(text) == ({}, errors)


def test_every_error_of_a_body_is_reported() -> None:
    _, errors = validate(b'{"due": "2026-02-30T00:00:00Z", "colour": 1}')
    assert {(error["pointer"], error["code"]) for error in errors} == {
        ("#/title", "required"),
        ("#/due", "wrong_format"),
        ("#/colour", "unknown"),
    }
    assert len(errors) == 3


def test_errors_are_added_to_those_that_are_known() -> None:
    known = {"parameter": "p", "code": "required", "detail": "is required"}
    for text in (b"", b"{", b"{}"):
        errors: Errors = [known]
        body(required=True).validate([(b"content-type", JSON)], text, errors)
        assert errors[0] == known
        assert len(errors) == 2


def test_a_body_may_be_missing_unless_it_is_required() -> None:
    errors: Errors = []
    assert body().validate([], b"", errors) == {}
    assert body(required=False).validate([], b"", errors) == {}
    assert errors == []
    assert body(required=True).validate([], b"", errors) == {}
    assert errors == [
        {"pointer": "#", "code": "required", "detail": "is required: send a JSON object"}
    ]


def test_a_body_of_another_media_type_is_not_read() -> None:
    for text in (b"{}", b"{"):
        with pytest.raises(UnsupportedMediaType):
            validate(text, b"text/plain")


def test_every_media_type_of_the_contract_is_accepted() -> None:
    media = {"schema": NOTE}
    both = Body({"content": {JSON.decode(): media, PATCH.decode(): media}})
    for media_type in ACCEPTED:
        fields = both.validate([(b"content-type", media_type)], b'{"title": "x"}', [])
        assert fields == {"title": "x"}


def test_media_types_with_different_schemas_are_refused_at_start() -> None:
    other = {"schema": {"type": "object", "properties": {}}}
    with pytest.raises(AssertionError, match="one schema"):
        Body({"content": {JSON.decode(): {"schema": NOTE}, PATCH.decode(): other}})


def content_type(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"accept", b"*/*"), *((b"content-type", value) for value in values)]


def encoded(*codings: bytes, media_type: bytes = JSON) -> list[tuple[bytes, bytes]]:
    return [*content_type(media_type), *((b"content-encoding", each) for each in codings)]


@pytest.mark.parametrize(
    "headers",
    [
        content_type(JSON),
        content_type(PATCH),
        content_type(b"Application/JSON"),
        content_type(b"application/json; charset=utf-8"),
        content_type(b'application/json;charset="UTF8"'),
        content_type(b"application/json; profile=x"),
        encoded(b"identity"),
        encoded(b"Identity"),
        encoded(b"identity", media_type=b"application/json; charset=utf-8"),
    ],
)
def test_json_in_utf_8_is_accepted(headers: list[tuple[bytes, bytes]]) -> None:
    require_media_type(headers, ACCEPTED)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        content_type(),
        content_type(JSON, JSON),
        content_type(JSON, b"text/plain"),
        content_type(b"text/plain"),
        content_type(b"text/plain; charset=utf-8"),
        content_type(b"application/json; charset=utf-16"),
        content_type(b"application/json; charset="),
        encoded(b"gzip"),
        encoded(b"identity", b"gzip"),
        encoded(b"gzip", media_type=b"application/json; charset=utf-8"),
        encoded(b"identity", media_type=b"text/plain"),
        encoded(b"identity", media_type=b"application/json; charset=utf-16"),
        encoded(b"identity", media_type=b"application/json" + b";" * 500),
    ],
)
def test_any_other_content_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UnsupportedMediaType):
        require_media_type(headers, ACCEPTED)
