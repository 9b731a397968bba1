"""Distributing the tables: what Citus is told, and what it demands of them.

Citus itself is not here: a function of its name notes what it is told.
"""

from collections.abc import Iterator

import psycopg
import pytest

from harness.cluster import Cluster, new_user_id
from models import migrate
from models.errors import MigrationFailed
from models.tables import Base

TABLES = {
    table.name: next(iter(table.primary_key.columns)).name
    for table in Base.metadata.sorted_tables
}
TOLD = """SELECT logicalrelid::text, distribution_column, colocate_with
    FROM pg_dist_partition"""


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Cluster]:
    """Create an empty database."""
    with cluster.new_database() as empty:
        yield empty


def rows(cluster: Cluster, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(cluster.superuser) as connection:
        return connection.execute(query.encode()).fetchall()


def test_every_table_is_distributed_by_its_user_and_next_to_users_or_copied(
    empty: Cluster,
) -> None:
    empty.migrate("citus")
    first, *others = rows(empty, TOLD)
    assert first == ("todo.users", "id", "default")
    beside = TABLES.keys() - {"users", "blocked_users"}
    copied = ("todo.blocked_users", None, None)
    assert set(others) == {(f"todo.{name}", "user_id", "todo.users") for name in beside} | {
        copied
    }
    assert len(others) == len(TABLES) - 1


def test_migrating_again_distributes_only_what_is_not_distributed(empty: Cluster) -> None:
    empty.migrate("citus")
    before = rows(empty, TOLD)
    empty.migrate("citus")
    assert rows(empty, TOLD) == before
    empty.execute("DELETE FROM pg_dist_partition WHERE logicalrelid = 'todo.tasks'::regclass")
    empty.execute("DELETE FROM pg_dist_partition WHERE distribution_column IS NULL")
    empty.migrate("citus")
    assert sorted(rows(empty, TOLD), key=str) == sorted(before, key=str)


def test_a_database_without_citus_is_reported(empty: Cluster) -> None:
    with pytest.raises(MigrationFailed, match="does not have the extension citus"):
        migrate.upgrade(empty.owner, empty.app, distribute=True)


def test_a_table_that_has_rows_is_left_to_a_superuser(empty: Cluster) -> None:
    empty.migrate("postgresql")
    empty.execute(f"INSERT INTO todo.users (id) VALUES ('{new_user_id()}')")
    with pytest.raises(MigrationFailed, match=r"todo\.users has rows"):
        empty.migrate("citus")
    assert rows(empty, TOLD) == []


def test_the_login_may_ask_whether_a_task_exists_and_nothing_else(empty: Cluster) -> None:
    empty.migrate("citus")
    with psycopg.connect(empty.app, autocommit=True) as login:
        question = "SELECT todo.task_exists(gen_random_uuid())"
        assert login.execute(question.encode()).fetchall() == [(False,)]
        for name in TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(f"SELECT FROM todo.{name}".encode())


def test_the_roles_in_whose_name_workers_are_asked_may_log_in(empty: Cluster) -> None:
    empty.migrate("citus")
    roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'todo%' AND NOT rolcanlogin"
    assert rows(empty, roles) == []


DEMANDS = {
    "unique indexes have the distribution column": """
        SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE relnamespace = 'todo'::regnamespace AND relname <> 'alembic_version'
            AND indisunique AND NOT EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)
                    AND attname = CASE relname WHEN 'users' THEN 'id' ELSE 'user_id' END)""",
    "foreign keys are from user to user": """
        SELECT conname FROM pg_constraint WHERE connamespace = 'todo'::regnamespace
            AND contype = 'f' AND pg_get_constraintdef(oid)
                NOT LIKE 'FOREIGN KEY (user_id) REFERENCES todo.users(id)%'""",
    "there are no triggers": """
        SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = 'todo'::regnamespace AND NOT tgisinternal""",
    "there are no sequences": """
        SELECT relname FROM pg_class WHERE relnamespace = 'todo'::regnamespace AND relkind = 'S'
        """,
    "functions are not in SQL, and those without access to tables are immutable": """
        SELECT proname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        WHERE pronamespace = 'todo'::regnamespace
            AND (lanname = 'sql' OR NOT prosecdef AND provolatile <> 'i')""",
}


@pytest.mark.parametrize("violations", DEMANDS.values(), ids=DEMANDS)
def test_the_schema_is_as_citus_demands(violations: str, cluster: Cluster) -> None:
    assert rows(cluster, violations) == []
