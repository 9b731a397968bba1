"""Validation errors: where they are, names that are cut, and how many a response lists."""

import pytest

from openapi.errors import BadRequest, body_error, parameter_error

TEXTS = ("too_small", "must be at least 1")


def pointer(*path: str | int) -> str:
    return body_error("unknown", "is not a known field", path)["pointer"]


def test_an_error_names_the_parameter_or_points_into_the_body() -> None:
    texts = {"code": TEXTS[0], "detail": TEXTS[1]}
    assert parameter_error("limit", *TEXTS) == {"parameter": "limit", **texts}
    assert body_error(*TEXTS) == {"pointer": "#", **texts}
    assert body_error(*TEXTS, ("a", 0)) == {"pointer": "#/a/0", **texts}


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("title", "title"),
        ("", ""),
        ("a/b", "a~1b"),
        ("a~b", "a~0b"),
        ("~1", "~01"),
        ("/~", "~1~0"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("#?", "%23%3F"),
        ("é", "%C3%A9"),
        ("\0", "%00"),
    ],
)
def test_a_name_is_escaped_in_a_pointer(name: str, escaped: str) -> None:
    assert pointer(name) == f"#/{escaped}"
    assert pointer("tags", name) == f"#/tags/{escaped}"


@pytest.mark.parametrize(("character", "escaped"), [("n", "n"), ("/", "~1"), ("~", "~0")])
def test_a_name_is_cut_to_a_hundred_characters(character: str, escaped: str) -> None:
    kept, long, cut = 100 * character, 101 * character, 99 * character + "…"
    assert parameter_error(kept, *TEXTS)["parameter"] == kept
    assert parameter_error(long, *TEXTS)["parameter"] == cut
    assert pointer(kept) == "#/" + 100 * escaped
    assert pointer(long) == "#/" + 99 * escaped + "%E2%80%A6"


def test_a_hundred_errors_are_listed_and_all_are_counted() -> None:
    for count in (1, 100, 101):
        found = [parameter_error(f"p{number}", *TEXTS) for number in range(count)]
        error = BadRequest(found)
        assert error.errors == found[:100]
        assert error.count == count


def test_the_text_of_a_bad_request_has_nothing_that_was_sent() -> None:
    assert str(BadRequest([parameter_error("secret", *TEXTS)])) == "1 errors"
