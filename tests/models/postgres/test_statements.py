"""Compiling statements and binding values."""

import pytest
import sqlalchemy as sa

from harness.statements import STATEMENTS
from models import queries
from models.postgres.statements import Statement, reading

ECHO = Statement(b"SELECT $1, $2", ("one", "two"), writes=False)


def test_values_are_bound_by_name() -> None:
    assert ECHO.bind({"two": "b", "one": "a"}).values == [b"a", b"b"]


def test_other_values_are_ignored() -> None:
    assert ECHO.bind({"one": None, "two": 2, "three": 3}).values == [None, b"2"]


def test_a_missing_value_raises_key_error() -> None:
    with pytest.raises(KeyError, match="two"):
        ECHO.bind({"one": "a"})


def test_a_constant_in_a_statement_is_rejected() -> None:
    with pytest.raises(AssertionError, match="constant"):
        reading("constant", sa.select(sa.literal("constant")))


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_declares_whether_it_writes(name: str) -> None:
    verbs = (b"INSERT INTO", b"UPDATE todo", b"DELETE FROM")
    assert STATEMENTS[name].writes is any(verb in STATEMENTS[name].sql for verb in verbs)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_filters_every_table_by_the_owner(name: str) -> None:
    number = STATEMENTS[name].parameters.index("user_id") + 1
    sql = STATEMENTS[name].sql.decode()
    tables = sql.count("FROM todo.tasks") + sql.count("UPDATE todo.tasks")
    assert sql.count(f"WHERE todo.tasks.user_id = ${number}::VARCHAR") == tables
    assert ("INTO todo.tasks (user_id," in sql) is (name == "create")


def test_every_statement_is_prepared_under_a_name_of_its_own() -> None:
    assert sorted(queries.PREPARED, key=id) == sorted(STATEMENTS.values(), key=id)
    assert len({statement.name for statement in queries.PREPARED} - {""}) == len(STATEMENTS)
