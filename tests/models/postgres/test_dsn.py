"""What a message says of a URL: where it leads and as whom, and never its password."""

import psycopg
import pytest

from models.postgres.dsn import describe_dsn, dsn_user

UNREADABLE = "a URL that cannot be read (postgresql://user:password@host:5432/database)"


@pytest.mark.parametrize(
    ("url", "description"),
    [
        ("postgresql://me:pw@db:6432/todo", "todo at db:6432 as me"),
        ("postgresql://me@db/todo", "todo at db:5432 as me"),
        ("host=db port=6432 dbname=todo user=me password=pw", "todo at db:6432 as me"),
        ("postgresql://", "the default database at the default host:5432 as the default user"),
        ("postgresql://me@a,b/todo", "todo at a:5432, b:5432 as me"),
        ("postgresql://me@a:1,b:2/todo", "todo at a:1, b:2 as me"),
        ("postgresql://me@a:1,b/todo", "todo at a:1, b:5432 as me"),
        ("host=a,b port=6432 dbname=todo user=me", "todo at a:6432, b:6432 as me"),
    ],
)
def test_a_url_is_described_by_its_database_servers_and_user(
    url: str, description: str
) -> None:
    assert describe_dsn(url) == description


def test_a_parameter_that_postgresql_does_not_know_is_named() -> None:
    description = describe_dsn("postgresql://me:pw@db/todo?no_such=1")
    assert description == "a URL whose parameter no_such PostgreSQL does not know"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:pw@[db/todo",
        "postgresql://me:p/w?rest=1@db/todo",  # a password that was not percent-encoded
        "postgresql://me@db/todo?my_password=1",
        "postgresql://me@db/todo?my_secret=1",
        "postgresql://me@db/todo?my_key=1",
    ],
)
def test_nothing_is_quoted_that_may_be_a_secret(url: str) -> None:
    assert describe_dsn(url) == UNREADABLE


def test_the_user_of_a_url_is_the_one_it_names_or_none() -> None:
    assert dsn_user("postgresql://me:pw@db/todo") == "me"
    assert dsn_user("postgresql://db/todo") is None
    with pytest.raises(psycopg.ProgrammingError):
        dsn_user("postgresql://me@[db/todo")
