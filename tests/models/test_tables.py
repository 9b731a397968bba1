"""Constraints of the tables, which apply to every role."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    UniqueViolation,
)
from psycopg.rows import TupleRow

from harness.cluster import Cluster, new_user_id
from models.queries.representation import REPRESENTATION_VERSION, REPRESENTED

Connection = psycopg.Connection[TupleRow]


@pytest.fixture
def superuser(cluster: Cluster) -> Iterator[Connection]:
    """Connect as superuser, so that only constraints apply."""
    with psycopg.connect(cluster.superuser) as connection:
        yield connection
        connection.rollback()


def add_user(superuser: Connection, user_id: str) -> str:
    superuser.execute("INSERT INTO todo.users (id) VALUES (%s)", [user_id])
    return user_id


def add_task(superuser: Connection, user_id: str, **fields: Any) -> None:
    row = {"user_id": user_id, "id": uuid4(), "title": "x", **fields}
    values = ", ".join(f"%({name})s" for name in row)
    insert = f"INSERT INTO todo.tasks ({', '.join(row)}) VALUES ({values})"
    superuser.execute(insert.encode(), row)


@pytest.mark.parametrize("user_id", ["", 256 * "x"])
def test_a_user_id_has_1_to_255_characters(user_id: str, superuser: Connection) -> None:
    add_user(superuser, 255 * "ß")
    with pytest.raises(CheckViolation, match="ck_users_id_length"):
        add_user(superuser, user_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "   "),
        ("title", 201 * "x"),
        ("description", 1001 * "x"),
        ("priority", "asap"),
        ("priority", ""),
        ("tags", 21 * ["x"]),
    ],
)
def test_an_invalid_field_is_rejected(field: str, value: object, superuser: Connection) -> None:
    alice = add_user(superuser, new_user_id())
    with pytest.raises(CheckViolation, match=f"ck_tasks_{field}"):
        add_task(superuser, alice, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", 200 * "🌍"),
        ("description", ""),
        ("description", 1000 * "🌍"),
        ("priority", "low"),
        ("priority", "medium"),
        ("priority", "high"),
        ("priority", "urgent"),
        ("tags", 20 * ["x"]),
    ],
)
def test_a_field_at_its_limit_is_stored(
    field: str, value: object, superuser: Connection
) -> None:
    add_task(superuser, add_user(superuser, new_user_id()), **{field: value})


def test_a_task_needs_an_existing_user(superuser: Connection) -> None:
    with pytest.raises(ForeignKeyViolation, match="fk_tasks_user_id"):
        add_task(superuser, new_user_id())


@pytest.mark.parametrize("table", ["tasks", "deleted_tasks", "idempotency_keys"])
def test_deleting_a_user_deletes_everything_about_them(
    table: str, superuser: Connection
) -> None:
    alice = add_user(superuser, new_user_id())
    add_task(superuser, alice)
    superuser.execute("INSERT INTO todo.deleted_tasks VALUES (%s, 1, %s)", [alice, uuid4()])
    superuser.execute(
        "INSERT INTO todo.idempotency_keys VALUES (%s, 'k', '', %s, 1, '')", [alice, uuid4()]
    )
    count = f"SELECT count(*) FROM todo.{table} WHERE user_id = %s".encode()
    assert superuser.execute(count, [alice]).fetchone() == (1,)
    superuser.execute("DELETE FROM todo.users WHERE id = %s", [alice])
    assert superuser.execute(count, [alice]).fetchone() == (0,)


def test_a_users_task_ids_are_unique(superuser: Connection) -> None:
    alice = add_user(superuser, new_user_id())
    task_id = uuid4()
    add_task(superuser, alice, id=task_id)
    with pytest.raises(UniqueViolation, match="pk_tasks"):
        add_task(superuser, alice, id=task_id)


@pytest.mark.parametrize("setting", ["TimeZone TO 'Asia/Kathmandu'", "DateStyle TO German"])
def test_a_tasks_json_depends_on_no_setting(setting: str, superuser: Connection) -> None:
    alice, bob = (add_user(superuser, new_user_id()) for _ in range(2))
    task = {
        "id": uuid4(),
        "description": 'a "b" \\ c',
        "priority": "low",
        "tags": ["a", "b c"],
        "due_date": "2027-01-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
    add_task(superuser, alice, **task)
    superuser.execute(f"SET {setting}".encode())
    add_task(superuser, bob, **task)
    assert json_of(superuser, bob).replace(bob, alice) == json_of(superuser, alice)


def json_of(superuser: Connection, user_id: str) -> str:
    """Return the JSON of a user's only task."""
    columns = ", ".join(REPRESENTED)
    json = f"todo.task_json_v{REPRESENTATION_VERSION}({columns})"
    question = f"SELECT {json} FROM todo.tasks WHERE user_id = %s"
    ((text,),) = superuser.execute(question.encode(), [user_id]).fetchall()
    return str(text)
