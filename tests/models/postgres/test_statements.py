"""Compiling statements and binding values, and what their SQL must contain."""

import re
from uuid import uuid4

import pytest

from harness.statements import OF_A_USER, SERVED, STATEMENTS, WRITING, values_for
from models import queries
from models.postgres.statements import Statement
from models.queries import blocked_users
from models.queries.parameters import reading

ECHO = Statement(b"SELECT $1, $2", ("one", "two"), writes=False)
OWNERS = {
    "users": "id",
    "tasks": "user_id",
    "deleted_tasks": "user_id",
    "idempotency_keys": "user_id",
}
TABLE = re.compile(rf"(?<!INTO )todo\.(?P<table>{'|'.join(OWNERS)})\b(?: (?P<alias>[a-z])\b)?")
INSERT = re.compile(
    r"INSERT INTO todo\.(?P<table>\w+)(?: AS \w+)?\s*\((?P<columns>[^)]*)\)"
    r"\s*(?:VALUES \(|SELECT )(?P<values>[^)]*?)(?:\)|\s+FROM\b)"
)
each_statement = pytest.mark.parametrize("name", STATEMENTS)


def test_values_are_bound_by_name() -> None:
    assert ECHO.bind({"two": "b", "one": "a"}).values == [b"a", b"b"]


def test_other_values_are_ignored() -> None:
    assert ECHO.bind({"one": None, "two": 2, "three": 3}).values == [None, b"2"]


def test_a_missing_value_raises_key_error() -> None:
    with pytest.raises(KeyError, match="two"):
        ECHO.bind({"one": "a"})


def test_parameters_are_numbered_as_they_first_occur_and_have_a_type() -> None:
    statement = reading("list", "SELECT :limit, :user_id::name, '12:30', :limit + 1")
    assert statement.sql == b"SELECT $1::bigint, $2::text::name, '12:30', $1::bigint + 1"
    assert statement.parameters == ("limit", "user_id")


def test_a_parameter_without_a_type_raises_key_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        reading("paint", "SELECT :colour")


@each_statement
def test_a_statement_declares_whether_it_writes(name: str) -> None:
    verbs = (b"INSERT INTO", b"UPDATE todo", b"DELETE FROM")
    assert STATEMENTS[name].writes is any(verb in STATEMENTS[name].sql for verb in verbs)


def test_every_parameter_is_used_and_has_a_value_in_these_tests() -> None:
    statements = [*STATEMENTS.values(), *vars(blocked_users).values()]
    used = {
        name
        for statement in statements
        if isinstance(statement, Statement)
        for name in statement.parameters
    }
    assert used == set(queries.PARAMETERS)
    assert set(values_for("alice", uuid4())) == used


def query_around(sql: str, position: int) -> str:
    """Return the query at a position, without its sub-queries and other parentheses."""
    opened = [0]
    for index, character in enumerate(sql):
        if character == "(":
            opened.append(index + 1)
        elif character == ")":
            begin = opened.pop()
            if begin <= position < index:
                return without_parentheses(sql[begin:index])
    return without_parentheses(sql)


def without_parentheses(query: str) -> str:
    """Remove everything in parentheses."""
    while "(" in query:
        query = re.sub(r"\([^()]*\)", "", query)
    return query


def unfiltered(statement: Statement) -> list[str]:
    """Return the tables that a statement reads or changes without filtering by the owner.

    Each query must begin its WHERE with the owner, and have no OR beside it.
    """
    sql = statement.sql.decode()
    user = f"${statement.parameters.index('user_id') + 1}::text"
    found = []
    for mention in TABLE.finditer(sql):
        table = mention["table"]
        queries_of_union = query_around(sql, mention.start()).split("UNION ALL")
        (query,) = [query for query in queries_of_union if f"todo.{table}" in query]
        condition = f"WHERE {mention['alias'] or table}.{OWNERS[table]} = {user}"
        if not re.search(rf"{re.escape(condition)}\b", query) or " OR " in query:
            found.append(table)
    return found


@pytest.mark.parametrize("name", OF_A_USER)
def test_a_statement_filters_every_table_by_the_owner(name: str) -> None:
    statement = STATEMENTS[name]
    assert unfiltered(statement) == []
    assert TABLE.search(statement.sql.decode()) or name == "create"


def test_a_statement_without_a_user_reads_no_table() -> None:
    others = STATEMENTS.keys() - OF_A_USER.keys()
    assert others == {"exists"}
    assert not TABLE.search(STATEMENTS["exists"].sql.decode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT FROM todo.tasks",
        "SELECT FROM todo.tasks t WHERE t.id = $2 OR t.user_id = $1::text",
        "SELECT FROM todo.tasks t WHERE t.user_id = $1::text OR true",
        "SELECT FROM todo.tasks t WHERE t.user_id = $10::text",
        "SELECT FROM todo.tasks t WHERE (t.user_id = $1::text OR true)",
        "WITH x AS (SELECT FROM todo.tasks t) SELECT FROM x t WHERE t.user_id = $1::text",
        "UPDATE todo.tasks t SET x = (SELECT FROM todo.users u WHERE t.user_id = $1::text)",
        "DELETE FROM todo.tasks t WHERE EXISTS (SELECT WHERE t.user_id = $1::text)",
        """SELECT FROM todo.tasks t WHERE t.user_id = $1::text
            UNION ALL SELECT FROM todo.deleted_tasks d""",
    ],
)
def test_a_query_without_the_owner_would_be_found(sql: str) -> None:
    assert unfiltered(Statement(sql.encode(), ("user_id",), writes=False))


def owners_inserted(statement: Statement) -> list[str]:
    """Return the value of the owner in each INSERT of a statement."""
    return [
        insert["values"]
        .split(",")[
            [column.strip() for column in insert["columns"].split(",")].index(
                OWNERS[insert["table"]]
            )
        ]
        .strip()
        for insert in INSERT.finditer(statement.sql.decode())
    ]


@pytest.mark.parametrize("name", WRITING)
def test_every_row_that_a_statement_inserts_is_the_users(name: str) -> None:
    statement = STATEMENTS[name]
    sql = statement.sql.decode()
    user = f"${statement.parameters.index('user_id') + 1}::text"
    owners = owners_inserted(statement)
    assert len(owners) == sql.count("INSERT INTO")
    assert set(owners) <= {user, "new.user_id"}
    assert "new.user_id" not in owners or f"SELECT\n                {user} AS user_id" in sql


@each_statement
def test_columns_are_set_without_functions_that_citus_does_not_accept_there(name: str) -> None:
    sql = STATEMENTS[name].sql.decode().replace("(SELECT now() AS now)", "")
    for assignments in re.findall(r"\bSET\b(.*?)(?:\bWHERE\b|\bRETURNING\b)", sql, re.DOTALL):
        assert "now()" not in assignments
        assert "random" not in assignments


def test_what_a_serving_process_runs_is_prepared_under_a_name_of_its_own() -> None:
    served = [*SERVED.values(), blocked_users.LIST_BLOCKED_USERS]
    assert sorted(queries.PREPARED, key=id) == sorted(served, key=id)
    assert len({statement.name for statement in queries.PREPARED} - {""}) == len(served)
