"""One parameter: how its text becomes a value, and what is reported if that fails."""

from datetime import UTC, datetime
from typing import Any

import pytest

from openapi.errors import Errors
from openapi.parameters import Parameter

INTEGER = {"type": "integer", "minimum": -5, "maximum": 10_000}
BOOLEAN = {"type": "boolean"}
INSTANT = {"type": "string", "format": "date-time"}
NAMES = {"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 1}}


def parameter(schema: dict[str, Any], **members: Any) -> Parameter:
    return Parameter({"name": "p", "in": "query", "schema": schema, **members})


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (INTEGER, "5", 5),
        (INTEGER, "-5", -5),
        (INTEGER, "-0", 0),
        (INTEGER, "0005", 5),
        (INTEGER, f"{'0' * 3_999}5", 5),
        (BOOLEAN, "true", True),
        (BOOLEAN, "false", False),
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "true", "true"),
        ({"type": "string"}, "", ""),
        (INSTANT, "2026-12-01T18:00:00+01:00", datetime(2026, 12, 1, 17, tzinfo=UTC)),
        (NAMES, ["a", "b"], ["a", "b"]),
    ],
)
def test_a_text_becomes_a_value_of_its_schema(
    schema: dict[str, Any], text: str, value: object
) -> None:
    errors: Errors = []
    found = parameter(schema).validate({"p": text}, errors)
    assert (found, type(found), errors) == (value, type(value), [])


NOT_A_NUMBER = ("wrong_type", "must be a whole number")


@pytest.mark.parametrize(
    ("schema", "text", "code", "detail"),
    [
        (INTEGER, "-6", "too_small", "must be at least -5"),
        (INTEGER, "10001", "too_large", "must be at most 10000"),
        (INTEGER, "9" * 4_000, "too_large", "must be at most 10000"),
        (INTEGER, "9" * 4_301, *NOT_A_NUMBER),
        (INTEGER, "", *NOT_A_NUMBER),
        (INTEGER, "-", *NOT_A_NUMBER),
        (INTEGER, "+5", *NOT_A_NUMBER),
        (INTEGER, "5\n", *NOT_A_NUMBER),
        (INTEGER, "\N{ARABIC-INDIC DIGIT FIVE}", *NOT_A_NUMBER),
        (BOOLEAN, "True", "wrong_type", "must be true or false"),
        (BOOLEAN, "1", "wrong_type", "must be true or false"),
        (
            INSTANT,
            "2026-02-30T00:00:00Z",
            "wrong_format",
            "must be a date and time that exists, in the years 1000 to 9999 UTC",
        ),
        (NAMES, ["a", "b", "c"], "too_many", "must have at most 2 items"),
        (NAMES, ["a", ""], "too_short", "must not be empty"),
    ],
)
def test_a_text_that_is_no_such_value_is_reported_with_the_name(
    schema: dict[str, Any], text: str, code: str, detail: str
) -> None:
    errors: Errors = []
    assert parameter(schema, required=True).validate({"p": text}, errors) is None
    assert errors == [{"parameter": "p", "code": code, "detail": detail}]


def test_every_violation_is_reported() -> None:
    errors: Errors = []
    assert parameter(NAMES).validate({"p": ["", "a", ""]}, errors) is None
    assert sorted(error["code"] for error in errors) == ["too_many", "too_short", "too_short"]


def test_a_parameter_that_is_missing_has_its_default_or_is_required() -> None:
    errors: Errors = []
    with_default = parameter({**INTEGER, "default": 7})
    assert with_default.validate({"other": "5"}, errors) == 7
    assert with_default.validate({"p": "5"}, errors) == 5
    assert parameter(INTEGER).validate({}, errors) is None
    assert parameter(INTEGER, required=False).validate({}, errors) is None
    assert errors == []
    assert parameter(INTEGER, required=True).validate({}, errors) is None
    assert errors == [{"parameter": "p", "code": "required", "detail": "is required"}]


def test_a_header_has_a_name_in_lower_case_and_an_argument_without_dashes() -> None:
    errors: Errors = []
    header = parameter({"type": "string", "maxLength": 3}, name="If-Match", **{"in": "header"})
    assert (header.name, header.argument) == ("If-Match", "if_match")
    assert header.validate({"if-match": "abc"}, errors) == "abc"
    assert header.validate({"if-match": "abcd"}, errors) is None
    assert [error["parameter"] for error in errors] == ["If-Match"]


def test_the_name_of_a_query_parameter_is_case_sensitive() -> None:
    assert parameter(INTEGER, name="Limit").validate({"limit": "5", "Limit": "6"}, []) == 6


def test_only_an_array_takes_several_values() -> None:
    assert parameter(NAMES).is_array
    assert not parameter(INTEGER).is_array
