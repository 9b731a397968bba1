"""The query that makes a transaction a user's."""

import psycopg
import pytest

from models.postgres.identity import SET_IDENTITY, set_identity


@pytest.mark.parametrize(
    ("writes", "timeout", "values"),
    [
        (True, 5, [b"alice", b"5000ms", b"off"]),
        (False, 0.5, [b"alice", b"500ms", b"on"]),
        (False, 0.0016, [b"alice", b"2ms", b"on"]),
    ],
)
def test_it_says_who_asks_for_how_long_and_whether_to_write(
    *, writes: bool, timeout: float, values: list[bytes]
) -> None:
    (query,) = set_identity("alice", writes=writes, statement_timeout=timeout)
    assert query.sql == SET_IDENTITY.sql
    assert query.name == b"set_identity"
    assert query.values == values


def test_nobody_has_an_empty_id() -> None:
    (query,) = set_identity(None, writes=False, statement_timeout=1)
    assert query.values == [b"", b"1000ms", b"on"]


def test_it_is_made_once_for_each_user_and_kind() -> None:
    first = set_identity("bob", writes=True, statement_timeout=1)
    assert set_identity("bob", writes=True, statement_timeout=1) is first
    assert set_identity("bob", writes=False, statement_timeout=1) is not first


def test_an_id_with_a_nul_is_refused() -> None:
    with pytest.raises(psycopg.DataError):
        set_identity("a\0b", writes=False, statement_timeout=1)
