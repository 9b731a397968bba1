"""Entity tags: which conditions hold for a version or a response."""

import pytest

from handlers.api import conditional
from handlers.api.conditional import (
    etag_of_bytes,
    etag_of_list,
    etag_of_version,
    if_match_versions,
    not_modified,
)


@pytest.fixture(autouse=True)
def version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tags of these tests the same when a field is added."""
    monkeypatch.setattr(conditional, "REPRESENTATION_VERSION", 2)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, False),
        ("*", True),
        ('"2-1"', True),
        ('W/"2-1"', True),
        ('"2", "2-1"', True),
        ('"2",W/"2-1"', True),
        ('"1"', False),
        ('"1-1"', False),
        ('"2-2"', False),
        ('"2-11"', False),
        ('"*"', False),
        ('"a,2-1"', False),
        (',"2-1",', True),
        ('"2-1" "2"', False),
        ('w/"2-1"', False),
        ('"a"2-1"', False),
    ],
)
def test_a_read_compares_weakly(condition: str | None, expected: object) -> None:
    assert not_modified(etag_of_version(1), condition) is expected


@pytest.mark.parametrize(
    ("condition", "versions"),
    [
        (None, None),
        ("*", None),
        ('"2-1"', {1}),
        ('"1-1", "22",W/"2-3"', {1, 22}),
        ('W/"2-1"', set()),
        ('"2-0"', set()),
        ('"2-01"', set()),
        ('"02-1"', set()),
        (',"2-1",', {1}),
        ('w/"2-1"', set()),
        ('*, "2-1"', set()),
        ('"a"2-1"', set()),
        ('"-1"', set()),
        ('"2-"', set()),
        ('"l2-1"', set()),
        ('"a"', set()),
        ('"2-999999999999999999"', {10**18 - 1}),  # the longest that is certain to be a bigint
        ('"2-1000000000000000000"', set()),
    ],
)
def test_a_change_compares_strongly(condition: str | None, versions: set[int] | None) -> None:
    assert if_match_versions(condition) == versions


def test_a_new_representation_changes_every_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that after an upgrade no client keeps tasks without the new field."""
    task, page = etag_of_version(1), etag_of_list(1)
    monkeypatch.setattr(conditional, "REPRESENTATION_VERSION", 3)
    assert not not_modified(etag_of_version(1), task)
    assert not not_modified(etag_of_list(1), page)
    assert if_match_versions(f"{task}, {page}") == frozenset({1})


def test_the_tag_of_a_response_is_that_of_its_bytes() -> None:
    tag = etag_of_bytes(b"[]")
    assert tag == etag_of_bytes(b"[]")
    assert tag != etag_of_bytes(b"[ ]")
    assert len(tag) == 34
    assert not_modified(tag, tag)
