"""A request as a whole: its parameters and body as arguments, or every error at once."""

from typing import Any

import pytest

from openapi.errors import BadRequest, UnsupportedMediaType
from openapi.requests import RequestValidator

STRING = {"type": "string", "maxLength": 5}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"title": {"type": "string"}},
}
BODY = {"required": True, "content": {"application/json": {"schema": SCHEMA}}}
JSON = (b"content-type", b"application/json")
Error = tuple[str, str, str]


def parameter(name: str, where: str, schema: Any = STRING, **members: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": schema, **members}


PARAMETERS = [
    parameter("id", "path", required=True),
    parameter("q", "query"),
    parameter("limit", "query", {"type": "integer", "maximum": 9, "default": 5}),
    parameter("status", "query", required=True),
    parameter("tag", "query", {"type": "array", "maxItems": 2, "items": STRING}),
    parameter("If-Match", "header"),
]


def without_body() -> RequestValidator:
    return RequestValidator(PARAMETERS, None)


def with_body() -> RequestValidator:
    return RequestValidator([parameter("q", "query")], BODY)


def validate(
    query: bytes = b"status=all",
    *headers: tuple[bytes, bytes],
    path: str = "7",
    body: bytes = b"",
    validator: RequestValidator | None = None,
) -> dict[str, Any]:
    return (validator or without_body()).validate(
        path={"id": path}, query=query, headers=headers, body=body
    )


def errors(query: bytes, *headers: tuple[bytes, bytes], **options: Any) -> list[Error]:
    with pytest.raises(BadRequest) as raised:
        validate(query, *headers, **options)
    return [
        (error.get("parameter", error.get("pointer", "")), error["code"], error["detail"])
        for error in raised.value.errors
    ]


NOTHING = {"id": "7", "q": None, "limit": 5, "status": "all", "tag": None, "if_match": None}
ONCE_ONLY = ("repeated", "must be given only once")
UNKNOWN = ("unknown", "is not a known parameter")
NOT_UTF_8 = ("malformed", "must be text in UTF-8")
MISSING = ("status", "required", "is required")
TOO_MANY = ("query", "too_many", "must have at most 100 parameters")


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        (b"status=all", {}),
        (b"status=all&", {}),
        (b"status=", {"status": ""}),
        (b"status", {"status": ""}),
        (b"status=a&q=%C3%A9+%2B", {"status": "a", "q": "é +"}),
        (b"status=all&q=\xc3\xa9", {"q": "é"}),
        (b"status=all&%71=x", {"q": "x"}),
        (b"limit=7&status=all", {"limit": 7}),
        (b"tag=a&status=all", {"tag": ["a"]}),
        (b"tag=b&status=all&tag=a", {"tag": ["b", "a"]}),
        (b"status=all&q=a=b", {"q": "a=b"}),
        (b"status=all" + 99 * b"&", {}),
    ],
)
def test_a_query_becomes_arguments(query: bytes, arguments: dict[str, Any]) -> None:
    assert validate(query) == {**NOTHING, **arguments}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"", [MISSING]),
        (b"q=x", [MISSING]),
        (b"status=all&status=all", [("status", *ONCE_ONLY)]),
        (b"status=all&status=all&status=all", [("status", *ONCE_ONLY)]),
        (b"status=%ff", [("status", *NOT_UTF_8)]),
        (b"status=\xff", [("status", *NOT_UTF_8)]),
        (b"status=all&status=%ff", [("status", *NOT_UTF_8)]),
        (b"status=all&tag=a&tag=%ff", [("tag", *NOT_UTF_8)]),
        (b"status=all&q=%ED%A0%80", [("q", *NOT_UTF_8)]),
        (b"status=all&colour=green", [("colour", *UNKNOWN)]),
        (b"status=all&Q=x", [("Q", *UNKNOWN)]),
        (b"status=all&id=8", [("id", *UNKNOWN)]),
        (b"status=all&If-Match=*", [("If-Match", *UNKNOWN)]),
        (b"status=all&if_match=*", [("if_match", *UNKNOWN)]),
        (b"status=all&%ff=1", [("?", *UNKNOWN)]),
        (b"colour=%ff", [("colour", *UNKNOWN), MISSING]),
        (b"status=all&limit=10", [("limit", "too_large", "must be at most 9")]),
        (b"status=all&tag=1&tag=2&tag=3", [("tag", "too_many", "must have at most 2 items")]),
        (b"status=all" + 100 * b"&", [TOO_MANY]),
        (100 * b"q=1&" + b"status=all", [TOO_MANY]),
        (
            b"limit=x&q=1&q=2",
            [
                ("q", *ONCE_ONLY),
                ("limit", "wrong_type", "must be a whole number"),
                MISSING,
            ],
        ),
    ],
)
def test_each_error_of_a_query_is_reported_once(query: bytes, found: list[Error]) -> None:
    assert errors(query) == found


def test_repeated_parameters_are_reported_in_the_order_of_the_query() -> None:
    names = [f"{letter}{number}" for letter in "zay" for number in range(10)]
    validator = RequestValidator([parameter(name, "query") for name in names], None)
    query = "&".join(f"{name}=1&{name}=2" for name in names).encode()
    assert errors(query, validator=validator) == [(name, *ONCE_ONLY) for name in names]


def test_a_header_is_found_by_its_name_and_repeated_ones_form_a_list() -> None:
    found = validate(b"status=all", (b"if-match", b"a"), (b"x-other", b"b"))
    assert found == {**NOTHING, "if_match": "a"}
    found = validate(b"status=all", (b"if-match", b"a"), (b"if-match", b"\xe9"))
    assert found == {**NOTHING, "if_match": "a, é"}
    found = validate(b"status=all", (b"q", b"a"), (b"status", b"b"), (b"id", b"c"))
    assert found == NOTHING


def test_errors_of_path_query_and_header_are_reported_together() -> None:
    found = errors(b"colour=1&limit=10", (b"if-match", b"123456"), path="123456")
    assert {(name, code) for name, code, _ in found} == {
        ("colour", "unknown"),
        ("id", "too_long"),
        ("limit", "too_large"),
        ("status", "required"),
        ("If-Match", "too_long"),
    }
    assert len(found) == 5


def test_an_unknown_query_parameter_hides_no_error_of_a_header_with_its_name() -> None:
    found = errors(b"status=all&If-Match=*", (b"if-match", b"123456"))
    assert [(name, code) for name, code, _ in found] == [
        ("If-Match", "unknown"),
        ("If-Match", "too_long"),
    ]


def test_too_many_parameters_leave_the_other_places_checked() -> None:
    found = errors(100 * b"&", (b"if-match", b"123456"), path="123456")
    assert [name for name, _, _ in found] == ["query", "id", "If-Match"]


def test_the_fields_of_a_body_are_one_argument() -> None:
    found = validate(b"q=x", JSON, body=b'{"title": "x"}', validator=with_body())
    assert found == {"fields": {"title": "x"}, "q": "x"}
    assert with_body().takes_body


def test_without_a_body_in_the_contract_there_are_no_fields() -> None:
    assert validate(b"status=all", body=b"{") == NOTHING
    assert not without_body().takes_body


def test_errors_of_a_body_are_reported_with_those_of_parameters() -> None:
    found = errors(b"q=123456&colour=1", JSON, body=b'{"title": 5}', validator=with_body())
    assert [(place, code) for place, code, _ in found] == [
        ("#/title", "wrong_type"),
        ("colour", "unknown"),
        ("q", "too_long"),
    ]
    found = errors(b"", validator=with_body())
    assert found == [("#", "required", "is required: send a JSON object")]


def test_a_media_type_is_checked_before_parameters() -> None:
    with pytest.raises(UnsupportedMediaType):
        validate(b"colour=1", body=b"{}", validator=with_body())
