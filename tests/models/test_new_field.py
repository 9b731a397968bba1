"""A new field, as the README's recipe adds it: no table is rewritten, and nobody waits."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from harness.cluster import Cluster, run_query
from harness.statements import STATEMENTS, values_for
from models import task_json
from models.postgres.statements import Query

MEMBERS = {
    "id": "uuid",
    "user_id": "text",
    "title": "text",
    "description": "text",
    "completed": "boolean",
    "priority": "text",
    "due_date": "timestamptz",
    "remind_at": "timestamptz",
    "tags": "text[]",
    "completed_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
OF_V2 = ("remind_at", "tags", "completed_at")
MEMBERS_OF_V1 = {name: kind for name, kind in MEMBERS.items() if name not in OF_V2}
V1 = f"todo.task_json_v1({', '.join(MEMBERS_OF_V1)})"
V2 = f"todo.task_json_v2({', '.join(MEMBERS)})"
FILL = f"""
    SET session_replication_role = replica;  -- no foreign keys to check: they are right
    INSERT INTO todo.users (id) SELECT 'user-' || n FROM generate_series(0, 999) AS n;
    INSERT INTO todo.tasks ({", ".join(MEMBERS)}, representation, representation_version)
    SELECT *, {V2}, 2 FROM (
        SELECT lpad(n::text, 32, '0')::uuid, 'user-' || n %% 1000, 'Task "' || n || '"',
            CASE WHEN n %% 2 = 0 THEN 'é' || chr(92) END, n %% 3 = 0,
            CASE WHEN n %% 5 = 0 THEN 'low' END,
            CASE WHEN n %% 7 = 0 THEN '2026-01-01Z'::timestamptz + n * interval '1 s' END,
            CASE WHEN n %% 11 = 0 THEN now() END, ARRAY['a', n::text],
            CASE WHEN n %% 3 = 0 THEN now() END, now(), now() FROM generate_series(0, %s) AS n
    ) AS new ({", ".join(MEMBERS)})
"""
FILENODE = "SELECT pg_relation_filenode('todo.tasks')"
ONE = "SELECT representation FROM todo.tasks WHERE id = lpad('7', 32, '0')::uuid"


@pytest.fixture
def some(scratch_db: Cluster) -> Cluster:
    """Fill a database with tasks as version 2 of the statements leaves them."""
    scratch_db.execute(FILL % 999)
    return scratch_db


@pytest.fixture
def many(scratch_db: Cluster) -> Cluster:
    """Fill it with 100,000."""
    scratch_db.execute(FILL % 99_999)
    return scratch_db


def add_notes(operations: Operations) -> None:
    """Do what the migration of a new field does."""
    operations.add_column(
        "tasks",
        sa.Column("notes", sa.Text(), server_default="none", nullable=False),
        schema="todo",
    )
    for command in task_json.create_function(3, MEMBERS | {"notes": "text"}):
        operations.execute(command)


def migrate(cluster: Cluster) -> float:
    """Run that migration as the owner; return how long its transaction took, in seconds."""
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(cluster.owner)
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        begin = time.monotonic()
        add_notes(Operations(MigrationContext.configure(connection)))
    took = time.monotonic() - begin
    engine.dispose()
    return took


@contextmanager
def reading(cluster: Cluster) -> Iterator[list[float]]:
    """Read a task again and again meanwhile; yields how long each read took, in seconds."""
    times: list[float] = []
    begun, ended = Event(), Event()

    def read() -> None:
        with psycopg.connect(cluster.superuser, autocommit=True) as connection:
            while not ended.is_set():
                begin = time.monotonic()
                connection.execute("SELECT title FROM todo.tasks WHERE user_id = 'user-1'")
                times.append(time.monotonic() - begin)
                begun.set()

    reader = Thread(target=read)
    reader.start()
    try:
        assert begun.wait(10)
        yield times
    finally:
        ended.set()
        reader.join()


def with_notes(name: str, user_id: str, task_id: UUID) -> Query:
    """Fill in a statement that reads, as the model writes it once it knows the notes."""
    query = STATEMENTS[name].bind(values_for(user_id, task_id))
    sql = query.sql.decode().replace("representation_version = 2", "representation_version = 3")
    made = re.compile(r"task_json_v2\((.*?)\)")
    return query._replace(sql=made.sub(r"task_json_v3(\1, t.notes)", sql).encode())


def test_a_new_field_rewrites_no_table_and_blocks_no_reader(many: Cluster) -> None:
    before = many.scalar(FILENODE)
    with reading(many) as times:
        took = migrate(many)
    assert many.scalar(FILENODE) == before
    assert took < 1
    assert max(times) < 1


def test_a_new_field_is_read_from_rows_that_were_written_without_it(some: Cluster) -> None:
    migrate(some)
    user, task_id = "user-7", UUID("7".zfill(32))
    with psycopg.connect(some.superuser) as superuser:
        ((_, one),) = run_query(superuser, with_notes("get", user, task_id))
        ((_, page, *_),) = run_query(superuser, with_notes("list all created", user, task_id))
    expected = json.loads(some.scalar(ONE)) | {"notes": "none"}
    assert json.loads(one or b"") == expected
    assert json.loads(page or b"") == [expected]


def test_a_service_that_does_not_know_the_field_yet_spoils_no_json(some: Cluster) -> None:
    migrate(some)
    user, task_id = "user-7", UUID("7".zfill(32))
    with psycopg.connect(some.superuser) as superuser:
        superuser.execute(
            f"UPDATE todo.tasks SET representation_version = 3, representation ="
            f" todo.task_json_v3({', '.join(MEMBERS)}, notes)".encode()
        )
        run_query(superuser, STATEMENTS["update"].bind(values_for(user, task_id)))
        ((_, old),) = run_query(superuser, STATEMENTS["get"].bind(values_for(user, task_id)))
        ((_, new),) = run_query(superuser, with_notes("get", user, task_id))
    assert json.loads(old or b"")["title"] == json.loads(new or b"")["title"] == "new"
    assert json.loads(new or b"") == json.loads(old or b"") | {"notes": "none"}


def test_the_function_for_a_new_field_makes_the_same_json_otherwise(some: Cluster) -> None:
    with psycopg.connect(some.superuser) as superuser:
        for command in task_json.create_function(9, MEMBERS_OF_V1):
            superuser.execute(command.encode())
        different = f"""SELECT count(*) FROM todo.tasks
            WHERE {V1} <> {V1.replace("_v1", "_v9")}"""
        assert superuser.execute(different.encode()).fetchone() == (0,)
        superuser.execute(task_json.drop_function(9).encode())
