"""Row ownership is enforced twice, by row security and WHERE; each is tested alone."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from harness.cluster import Cluster, new_user_id, run_query, set_user
from harness.statements import LISTS, OF_A_USER, STATEMENTS, values_for
from models.postgres.statements import Statement

Connection = psycopg.Connection[TupleRow]
TABLES = {
    "users": "id",
    "tasks": "user_id",
    "deleted_tasks": "user_id",
    "idempotency_keys": "user_id",
}
UPDATES = {
    "users": "revision = 0, forgotten = 0",
    "tasks": "title = 'bob was here'",
    "deleted_tasks": "deleted_at = now()",
    "idempotency_keys": "response = 'bob was here'",
}
LONG_AGO = "2020-01-01 00:00Z"
each_table = pytest.mark.parametrize("table", TABLES)
each_statement = pytest.mark.parametrize("statement", OF_A_USER.values(), ids=OF_A_USER)


class TwoUsers:
    """Alice and Bob, with rows in every table, in a transaction that is rolled back.

    Both have a completed task, and expired rows, which statements delete on the way.
    """

    def __init__(self, superuser: Connection) -> None:
        self.alice, self.bob = new_user_id(), new_user_id()
        self.alices_task, self.bobs_task = uuid4(), uuid4()
        self.alices_deleted_task, self.bobs_deleted_task = uuid4(), uuid4()
        for user, revision, task_id, deleted_id in (
            (self.alice, 1001, self.alices_task, self.alices_deleted_task),
            (self.bob, 2002, self.bobs_task, self.bobs_deleted_task),
        ):
            superuser.execute(
                "INSERT INTO todo.users (id, revision, forgotten) VALUES (%s, %s, 0)",
                [user, revision],
            )
            superuser.execute(
                "INSERT INTO todo.tasks (user_id, id, title, completed, version)"
                " VALUES (%s, %s, 'x', true, 2)",
                [user, task_id],
            )
            superuser.execute(
                "INSERT INTO todo.deleted_tasks VALUES (%s, 1, %s, %s)",
                [user, deleted_id, LONG_AGO],
            )
            for key in ("key", "other key"):
                superuser.execute(
                    "INSERT INTO todo.idempotency_keys VALUES (%s, %s, '', %s, 1, %s, %s)",
                    [user, key, task_id, f"of {user}", LONG_AGO],
                )

    @property
    def of_alice(self) -> tuple[str, ...]:
        """What nobody but Alice may see."""
        return self.alice, str(self.alices_task), str(self.alices_deleted_task)


@pytest.fixture
def superuser(cluster: Cluster) -> Iterator[Connection]:
    """Connect as superuser, to whom row security does not apply."""
    with psycopg.connect(cluster.superuser) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def users(superuser: Connection) -> TwoUsers:
    return TwoUsers(superuser)


def become_user(connection: Connection, user_id: str) -> Connection:
    """Set the identity of a user; from here on, only row security protects rows."""
    set_user(connection, user_id)
    return connection


def other_users_rows(superuser: Connection, user_id: str) -> list[Any]:
    """Return all rows that do not belong to a user."""
    superuser.execute("RESET ROLE")
    return [
        superuser.execute(
            f"SELECT * FROM todo.{table} WHERE {owner} <> %s ORDER BY 1, 2".encode(), [user_id]
        ).fetchall()
        for table, owner in TABLES.items()
    ]


@each_statement
@pytest.mark.parametrize("whose", ["alices_task", "bobs_task"])
def test_without_row_security_a_statement_still_spares_other_users_rows(
    statement: Statement, whose: str, superuser: Connection, users: TwoUsers
) -> None:
    before = other_users_rows(superuser, users.bob)
    rows = run_query(superuser, statement.bind(values_for(users.bob, getattr(users, whose))))
    assert other_users_rows(superuser, users.bob) == before
    assert not any(value in repr(rows) for value in users.of_alice)


@each_statement
@pytest.mark.parametrize("whose", ["alices_task", "bobs_task"])
def test_without_its_filters_a_statement_still_spares_other_users_rows(
    statement: Statement, whose: str, superuser: Connection, users: TwoUsers
) -> None:
    before = other_users_rows(superuser, users.bob)
    query = statement.bind(values_for(users.bob, getattr(users, whose)))
    user = rf"\${statement.parameters.index('user_id') + 1}::VARCHAR"
    sql = re.sub(rf"\w+\.(?:user_)?id = ({user})", r"\1 IS NOT NULL", query.sql.decode())
    become_user(superuser, users.bob)
    rows = run_query(superuser, query._replace(sql=sql.encode()))
    assert other_users_rows(superuser, users.bob) == before
    assert not any(value in repr(rows) for value in users.of_alice)


@pytest.mark.parametrize("name", ["get", "update", "complete", "delete"])
def test_without_row_security_a_statement_finds_no_row_of_another_user(
    name: str, superuser: Connection, users: TwoUsers
) -> None:
    statement = STATEMENTS[name]
    assert run_query(superuser, statement.bind(values_for(users.bob, users.alices_task))) == []
    assert run_query(superuser, statement.bind(values_for(users.bob, users.bobs_task))) != []


@pytest.mark.parametrize("name", LISTS)
def test_without_row_security_a_list_and_its_total_still_cover_one_user(
    name: str, superuser: Connection, users: TwoUsers
) -> None:
    superuser.execute(
        "UPDATE todo.tasks SET completed = %s WHERE user_id IN (%s, %s)",
        ["completed" in name, users.alice, users.bob],
    )
    for limit in (1, 10):  # counted, and not
        values = {**values_for(users.bob, users.bobs_task), "limit": limit}
        ((revision, tasks, *numbers),) = run_query(superuser, STATEMENTS[name].bind(values))
        assert [task["user_id"] for task in json.loads(tasks or b"")] == [users.bob]
        assert (revision, numbers) == (b"2002", [b"1", b"1", b"0"])


def test_without_row_security_changes_still_cover_one_user(
    superuser: Connection, users: TwoUsers
) -> None:
    values = values_for(users.bob, users.bobs_task)
    ((revision, forgotten, more, changed, deleted, *_),) = run_query(
        superuser, STATEMENTS["changes"].bind(values)
    )
    assert (revision, forgotten, more) == (b"2002", b"0", b"f")
    assert [task["id"] for task in json.loads(changed or b"")] == [str(users.bobs_task)]
    assert json.loads(deleted or b"") == [str(users.bobs_deleted_task)]


def test_without_row_security_a_key_of_another_user_is_not_replayed(
    superuser: Connection, users: TwoUsers
) -> None:
    superuser.execute("DELETE FROM todo.idempotency_keys WHERE user_id = %s", [users.bob])
    query = STATEMENTS["create_once"].bind(values_for(users.bob, users.bobs_task))
    ((_, task, _, replayed, _),) = run_query(superuser, query)
    assert json.loads(task or b"")["user_id"] == users.bob
    assert replayed == b"f"


@each_table
def test_without_a_where_clause_only_the_users_rows_are_visible(
    table: str, superuser: Connection, users: TwoUsers
) -> None:
    rows = become_user(superuser, users.bob).execute(f"SELECT * FROM todo.{table}".encode())
    visible = rows.fetchall()
    assert visible
    assert all(users.bob in row for row in visible)


@each_table
def test_without_a_where_clause_only_the_users_rows_are_updated(
    table: str, superuser: Connection, users: TwoUsers
) -> None:
    before = other_users_rows(superuser, users.bob)
    sql = f"UPDATE todo.{table} SET {UPDATES[table]}"
    assert become_user(superuser, users.bob).execute(sql.encode()).rowcount
    assert other_users_rows(superuser, users.bob) == before


@each_table
def test_without_a_where_clause_only_the_users_rows_are_deleted(
    table: str, superuser: Connection, users: TwoUsers
) -> None:
    before = other_users_rows(superuser, users.bob)
    become_user(superuser, users.bob)
    assert superuser.execute(f"DELETE FROM todo.{table}".encode()).rowcount
    assert superuser.execute(f"SELECT FROM todo.{table}".encode()).fetchall() == []
    assert other_users_rows(superuser, users.bob) == before


@pytest.mark.parametrize(
    "attempt",
    [
        "INSERT INTO todo.tasks (user_id, id, title) VALUES (%(alice)s, %(id)s, 'for alice')",
        "INSERT INTO todo.users (id) VALUES (%(nobody)s)",
        "INSERT INTO todo.deleted_tasks (user_id, revision, id) VALUES (%(alice)s, 9, %(id)s)",
        "INSERT INTO todo.idempotency_keys VALUES (%(alice)s, 'a', '', %(id)s, 1, '')",
        "UPDATE todo.tasks SET user_id = %(alice)s",
        "UPDATE todo.deleted_tasks SET user_id = %(alice)s",
        "UPDATE todo.idempotency_keys SET user_id = %(alice)s",
    ],
)
def test_a_user_cannot_write_rows_of_another_user(
    attempt: str, superuser: Connection, users: TwoUsers
) -> None:
    values = {"alice": users.alice, "id": uuid4(), "nobody": new_user_id()}
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        become_user(superuser, users.bob).execute(attempt.encode(), values)


@pytest.mark.parametrize(
    "attempt",
    [
        "UPDATE todo.users SET id = 'x'",
        "UPDATE todo.users SET created_at = now()",
        "TRUNCATE todo.deleted_tasks",
        "TRUNCATE todo.tasks",
        "ALTER TABLE todo.tasks DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE todo.mine ()",
        "SET ROLE todo_probe",
        "SELECT * FROM todo.alembic_version",
    ],
)
def test_the_app_role_has_no_privilege_beyond_what_statements_need(
    attempt: str, cluster: Cluster
) -> None:
    with psycopg.connect(cluster.app) as connection, pytest.raises(InsufficientPrivilege):
        become_user(connection, new_user_id()).execute(attempt.encode())


@each_table
@pytest.mark.parametrize("user", [None, "", "nobody"])
def test_without_an_identity_no_row_is_visible(
    table: str, user: str | None, superuser: Connection, users: TwoUsers
) -> None:
    assert other_users_rows(superuser, users.bob)
    superuser.execute("SET LOCAL ROLE todo_serving")
    if user is not None:
        superuser.execute("SELECT set_config('app.user_id', %s, true)", [user])
    assert superuser.execute(f"SELECT * FROM todo.{table}".encode()).fetchall() == []


@each_table
def test_row_security_applies_to_the_owner_too(
    table: str, superuser: Connection, users: TwoUsers
) -> None:
    assert other_users_rows(superuser, users.bob)
    superuser.execute("SET LOCAL ROLE todo_owner")
    assert superuser.execute(f"SELECT * FROM todo.{table}".encode()).fetchall() == []


@each_table
def test_the_login_role_alone_has_no_access(table: str, cluster: Cluster) -> None:
    with psycopg.connect(cluster.app) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(f"SELECT 1 FROM todo.{table}".encode())


def exists(superuser: Connection, task_id: UUID) -> object:
    ((exists,),) = superuser.execute("SELECT todo.task_exists(%s)", [task_id]).fetchall()
    return exists


def test_the_existence_probe_returns_whether_a_task_exists_and_nothing_else(
    superuser: Connection, users: TwoUsers
) -> None:
    become_user(superuser, users.bob)
    assert exists(superuser, users.alices_task) is True
    assert exists(superuser, users.bobs_task) is True
    assert exists(superuser, uuid4()) is False


def test_the_probe_role_can_read_only_ids(superuser: Connection, users: TwoUsers) -> None:
    superuser.execute("SET LOCAL ROLE todo_probe")
    ids = {task_id for (task_id,) in superuser.execute("SELECT id FROM todo.tasks")}
    assert ids >= {users.alices_task, users.bobs_task}
    with pytest.raises(InsufficientPrivilege):
        superuser.execute("SELECT user_id FROM todo.tasks")


def test_only_the_app_role_may_call_the_probe(superuser: Connection) -> None:
    superuser.execute("CREATE ROLE visitor; GRANT USAGE ON SCHEMA todo TO visitor")
    superuser.execute("SET LOCAL ROLE visitor")
    with pytest.raises(InsufficientPrivilege, match="task_exists"):
        exists(superuser, uuid4())


def test_the_probe_ignores_the_search_path(superuser: Connection, users: TwoUsers) -> None:
    superuser.execute("CREATE SCHEMA evil")
    superuser.execute("GRANT USAGE ON SCHEMA evil TO PUBLIC")
    superuser.execute(
        "CREATE FUNCTION evil.yes(uuid, uuid) RETURNS bool LANGUAGE sql AS 'SELECT true'"
    )
    superuser.execute(
        "CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = uuid, RIGHTARG = uuid)"
    )
    superuser.execute("SET LOCAL search_path = evil, pg_catalog")
    become_user(superuser, users.bob)
    assert superuser.execute("SELECT %s = %s", [uuid4(), uuid4()]).fetchall() == [(True,)]
    assert exists(superuser, uuid4()) is False
