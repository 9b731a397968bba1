"""Schemas of the contract: what is a violation, and the code and words for each."""

from datetime import UTC, datetime
from typing import Any

import pytest

from openapi.schemas import (
    Schema,
    ValidationError,
    converter,
    identity,
    is_instant,
    parse_instant,
)

WRONG_TYPE = "wrong_type"
NO_SUCH_TIME = "must be a date and time that exists, in the years 1000 to 9999 UTC"
STRING = {"type": "string"}
INSTANT = {"type": "string", "format": "date-time"}


def string(**keywords: Any) -> dict[str, Any]:
    return {**STRING, **keywords}


def items(**keywords: Any) -> dict[str, Any]:
    return {"type": "array", "items": STRING, **keywords}


VIOLATIONS: list[tuple[dict[str, Any], Any, str, str]] = [
    ({"type": "object"}, [], WRONG_TYPE, "must be a JSON object"),
    ({"type": "array", "items": {}}, {}, WRONG_TYPE, "must be an array"),
    (STRING, 5, WRONG_TYPE, "must be a string"),
    (STRING, None, WRONG_TYPE, "must be a string"),
    (string(nullable=False), None, WRONG_TYPE, "must be a string"),
    (string(nullable=True), 5, WRONG_TYPE, "must be a string or null"),
    ({"type": "integer"}, "5", WRONG_TYPE, "must be a whole number"),
    ({"type": "integer"}, 5.5, WRONG_TYPE, "must be a whole number"),
    ({"type": "number"}, "5", WRONG_TYPE, "must be a number"),
    ({"type": "boolean"}, 1, WRONG_TYPE, "must be true or false"),
    ({"type": "boolean", "nullable": True}, 1, WRONG_TYPE, "must be true or false or null"),
    (string(enum=["a"]), "b", "not_allowed", "must be a"),
    (string(enum=["a", "b"]), "c", "not_allowed", "must be a or b"),
    (
        string(enum=["a", "b", None], nullable=True),
        "c",
        "not_allowed",
        "must be a, b or null",
    ),
    (INSTANT, "2026-02-30T00:00:00Z", "wrong_format", NO_SUCH_TIME),
    (string(format="ipv4"), "x", "wrong_format", "must be a valid ipv4"),
    (string(pattern="^a"), "b", "wrong_format", "has the wrong form"),
    (
        string(pattern="^a", **{"x-pattern-means": "must begin with an a"}),
        "b",
        "wrong_format",
        "must begin with an a",
    ),
    (string(minLength=2), "é", "too_short", "must be at least 2 characters long"),
    (string(maxLength=2), "abc", "too_long", "must be at most 2 characters long"),
    ({"type": "integer", "minimum": 1}, 0, "too_small", "must be at least 1"),
    ({"type": "integer", "maximum": 9}, 10, "too_large", "must be at most 9"),
    (items(minItems=2), ["a"], "too_few", "must have at least 2 items"),
    (string(minLength=1), "", "too_short", "must not be empty"),
    (items(minItems=1), [], "too_few", "must not be empty"),
    (items(maxItems=1), ["a", "b"], "too_many", "must have at most 1 items"),
    (items(uniqueItems=True), ["a", "a"], "duplicate", "must not contain duplicates"),
    (
        {"type": "object", "minProperties": 1},
        {},
        "too_few",
        "must contain at least 1 field",
    ),
    (
        {"type": "integer", "multipleOf": 2},
        3,
        "not_allowed",
        "is not what the contract describes",
    ),
]


@pytest.mark.parametrize(("schema", "value", "code", "detail"), VIOLATIONS)
def test_a_violation_has_a_code_and_is_explained(
    schema: dict[str, Any], value: Any, code: str, detail: str
) -> None:
    assert not Schema(schema).is_valid(value)
    assert Schema(schema).errors(value) == [ValidationError((), code, detail)]
    inside = Schema({"type": "object", "properties": {"a": {**items(), "items": schema}}})
    assert inside.errors({"a": [value]}) == [ValidationError(("a", 0), code, detail)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (string(nullable=True), None),
        ({"allOf": [string(nullable=True)]}, None),
        (string(enum=["a", None], nullable=True), None),
        (string(minLength=2, maxLength=2), "🍏🍏"),
        ({"type": "integer", "minimum": 1, "maximum": 1}, 1),
        (items(minItems=1, maxItems=1, uniqueItems=True), ["a"]),
        ({"type": "object", "minProperties": 1}, {"a": 1}),
        (INSTANT, "2026-02-28T00:00:00Z"),
    ],
)
def test_a_valid_value_has_no_errors(schema: dict[str, Any], value: Any) -> None:
    assert Schema(schema).is_valid(value)
    assert Schema(schema).errors(value) == []


def test_unknown_and_missing_fields_are_named_where_they_are() -> None:
    inner = {
        "type": "object",
        "additionalProperties": False,
        "required": ["a", "b"],
        "properties": {"a": STRING, "b": STRING},
    }
    schema = Schema({"type": "array", "items": inner})
    found = schema.errors([{}, {"a": "", "b": "", "c": 1, "d": 2}])
    assert {(error.path, error.code, error.detail) for error in found} == {
        ((0, "a"), "required", "is required"),
        ((0, "b"), "required", "is required"),
        ((1, "c"), "unknown", "is not a known field"),
        ((1, "d"), "unknown", "is not a known field"),
    }
    assert len(found) == 4


@pytest.mark.parametrize(
    ("schema", "value", "code"),
    [
        (string(minLength=1, pattern="a"), "", "wrong_format"),
        (string(enum=["a"], maxLength=1), "bb", "not_allowed"),
        (string(enum=["a"]), 5, "not_allowed"),
        (string(enum=["a", None], nullable=True), 5, "not_allowed"),
    ],
)
def test_of_several_violations_in_one_place_the_most_specific_is_reported(
    schema: dict[str, Any], value: Any, code: str
) -> None:
    (error,) = Schema(schema).errors(value)
    assert error.code == code


def test_a_pattern_beside_a_format_is_what_is_reported() -> None:
    schema = Schema({**INSTANT, "pattern": "Z$", "x-pattern-means": "must end in Z"})
    (error,) = schema.errors("2026-02-30")
    assert error.detail == "must end in Z"


def test_formats_can_be_left_to_the_conversion() -> None:
    structure = Schema(INSTANT, formats=False)
    assert structure.is_valid("2026-02-30T00:00:00Z")
    assert not structure.is_valid(5)


def test_a_value_that_is_nested_too_deeply_is_one_error() -> None:
    value: Any = "a"
    for _ in range(300):
        value = [value]
    assert Schema(STRING).errors(value) == [
        ValidationError((), "too_deep", "is nested too deeply")
    ]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-12-01T18:00:00+01:00", datetime(2026, 12, 1, 17, tzinfo=UTC)),
        ("2026-12-01T23:30:00-23:59", datetime(2026, 12, 2, 23, 29, tzinfo=UTC)),
        ("2026-12-01T00:00:00.1234569Z", datetime(2026, 12, 1, 0, 0, 0, 123456, UTC)),
        ("1000-01-01T00:00:00Z", datetime(1000, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_an_instant_is_converted_to_utc(text: str, instant: datetime) -> None:
    assert is_instant(text)
    converted = parse_instant(text)
    assert converted == instant
    assert converted.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-02-29T00:00:00Z",
        "1000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    assert not is_instant(text)
    with pytest.raises((ValueError, OverflowError)):
        parse_instant(text)


def test_only_instants_are_converted() -> None:
    assert converter(INSTANT) is parse_instant
    assert converter(STRING) is converter(string(format="uuid")) is identity
    assert identity("a") == "a"
