"""Entity tags: which conditions hold for a version or a response."""

import pytest

from handlers.api.conditional import (
    etag_of_bytes,
    etag_of_version,
    if_match_versions,
    not_modified,
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, False),
        ("*", True),
        ('"1"', True),
        ('W/"1"', True),
        ('"2", "1"', True),
        ('"2",W/"1"', True),
        ('"2"', False),
        ('"11"', False),
        ('"*"', False),
        ('"a,1"', False),
        (',"1",', True),
        ('"1" "2"', False),
        ('w/"1"', False),
        ('"a"1"', False),
    ],
)
def test_a_read_compares_weakly(condition: str | None, expected: object) -> None:
    assert not_modified(etag_of_version(1), condition) is expected


@pytest.mark.parametrize(
    ("condition", "versions"),
    [
        (None, None),
        ("*", None),
        ('"1"', {1}),
        ('"1", "22",W/"3"', {1, 22}),
        ('W/"1"', set()),
        ('"0"', set()),
        ('"01"', set()),
        (',"1",', {1}),
        ('w/"1"', set()),
        ('*, "1"', set()),
        ('"a"1"', set()),
        ('"-1"', set()),
        ('"a"', set()),
        ('"999999999999999999"', {10**18 - 1}),  # the longest that is certain to be a bigint
        ('"1000000000000000000"', set()),
    ],
)
def test_a_change_compares_strongly(condition: str | None, versions: set[int] | None) -> None:
    assert if_match_versions(condition) == versions


def test_the_tag_of_a_response_is_that_of_its_bytes() -> None:
    tag = etag_of_bytes(b"[]")
    assert tag == etag_of_bytes(b"[]")
    assert tag != etag_of_bytes(b"[ ]")
    assert len(tag) == 34
    assert not_modified(tag, tag)
