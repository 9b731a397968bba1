"""Each task's JSON: stored by the statements that change it, whichever version they know."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import anyio
import psycopg
import pytest
from psycopg.rows import TupleRow

from harness.cluster import Cluster, new_user_id, open_database, run_query, set_user
from harness.statements import STATEMENTS, WRITING, values_for
from models.queries.representation import REPRESENTATION_VERSION, REPRESENTED
from models.tables import Task
from models.tasks import complete_task, create_task

Connection = psycopg.Connection[TupleRow]
MADE = f"todo.task_json_v{REPRESENTATION_VERSION}({', '.join(REPRESENTED)})"
READING = [
    name
    for name, each in STATEMENTS.items()
    if not each.writes and name not in {"exists", "revision"}
]
STALE = {
    "of an older version": "representation = '{}', representation_version = 0",
    "of a newer version": "representation = '{}', representation_version = 3",
    "of an unknown version": "representation = '{}', representation_version = NULL",
    "missing": "representation = NULL, representation_version = NULL",
}
EVERYTHING = {
    "title": 'a "b" \\ c',
    "description": "é",
    "completed": True,
    "priority": "low",
    "due_date": "2027-01-01T00:00:00Z",
    "remind_at": "2026-12-31T00:00:00Z",
    "tags": ['a "b" \\ c', "é", ""],
}


@pytest.fixture
def superuser(cluster: Cluster) -> Iterator[Connection]:
    with psycopg.connect(cluster.superuser) as connection:
        yield connection
        connection.rollback()


def create(
    superuser: Connection, user_id: str, statement: str = "create", **fields: Any
) -> UUID:
    """Create a task by a statement of the service."""
    values = {**values_for(user_id, uuid4()), **{f"new_{k}": v for k, v in fields.items()}}
    ((_, _, task_id, *_),) = run_query(superuser, STATEMENTS[statement].bind(values))
    assert task_id
    return UUID(task_id.decode())


def revision(superuser: Connection, user_id: str) -> bytes:
    """Return the revision of a user, as PostgreSQL writes it."""
    question = b"SELECT revision FROM todo.users WHERE id = %s"
    ((number,),) = superuser.execute(question, [user_id]).fetchall()
    return str(number).encode()


def stored(superuser: Connection, task_id: UUID) -> tuple[str, str, int]:
    """Return the stored JSON, what it should be, and the version of the function."""
    question = f"SELECT representation, {MADE}, representation_version FROM todo.tasks"
    (row,) = superuser.execute(f"{question} WHERE id = %s".encode(), [task_id]).fetchall()
    return row


def answered(rows: list[tuple[bytes | None, ...]]) -> Any:
    """Find the JSON in what a statement answers: one task, or a list of one."""
    (found,) = [
        json.loads(value)
        for row in rows
        for value in row
        if value and value[:1] in b"[{" and value != b"[]"
    ]
    return found[0] if isinstance(found, list) else found


def test_the_json_has_every_column_but_the_bookkeeping() -> None:
    others = {"version", "representation", "representation_version"}
    assert set(REPRESENTED) | others == set(Task.model_fields)


@pytest.mark.parametrize("flags", [True, False])
@pytest.mark.parametrize("new", [EVERYTHING, dict.fromkeys(EVERYTHING)], ids=["all", "none"])
@pytest.mark.parametrize("name", ["update", "complete"])
def test_what_changes_a_task_stores_its_json(
    name: str, new: dict[str, Any], superuser: Connection, *, flags: bool
) -> None:
    alice = new_user_id()
    task_id = create(superuser, alice, title="old", completed=None)
    values = {**values_for(alice, task_id), **{f"new_{k}": v for k, v in new.items()}}
    values |= {flag: flags for flag in values if flag.startswith("set_")}
    ((version, answer),) = run_query(superuser, STATEMENTS[name].bind(values))
    text, made, of_version = stored(superuser, task_id)
    assert text == made == (answer or b"").decode()
    assert (of_version, version) == (REPRESENTATION_VERSION, revision(superuser, alice))


@pytest.mark.parametrize("statement", ["create", "create_once"])
@pytest.mark.parametrize("fields", [EVERYTHING, dict.fromkeys(EVERYTHING) | {"title": "x"}])
def test_what_creates_a_task_stores_its_json(
    statement: str, fields: dict[str, Any], superuser: Connection
) -> None:
    task_id = create(superuser, new_user_id(), statement, **fields)
    text, made, version = stored(superuser, task_id)
    assert text == made
    assert version == REPRESENTATION_VERSION
    assert json.loads(text)["id"] == str(task_id)


def test_a_key_keeps_the_json_of_the_task_as_it_was_created(superuser: Connection) -> None:
    alice = new_user_id()
    task_id = create(superuser, alice, "create_once", **EVERYTHING)
    text, _, _ = stored(superuser, task_id)
    values = values_for(alice, task_id)
    run_query(superuser, STATEMENTS["update"].bind(values))
    ((_, again, same_id, replayed, _),) = run_query(
        superuser, STATEMENTS["create_once"].bind(values)
    )
    assert (again or b"").decode() == text != stored(superuser, task_id)[0]
    assert (same_id, replayed) == (str(task_id).encode(), b"t")


def test_every_statement_that_writes_a_task_is_tested_here() -> None:
    removing = {"delete", "clear_completed", "erase"}
    assert set(WRITING) - removing == {"create", "create_once", "update", "complete"}


@pytest.mark.anyio
async def test_concurrent_toggles_store_the_json_of_the_last(cluster: Cluster) -> None:
    alice = new_user_id()
    async with open_database(cluster.app, pool_size=10) as database:
        task = await create_task(database, alice, {"title": "x"})
        async with anyio.create_task_group() as group:
            for _ in range(51):
                group.start_soon(complete_task, database, alice, task.id, None, None)
    with psycopg.connect(cluster.superuser) as superuser:
        text, made, _ = stored(superuser, UUID(task.id))
    assert text == made
    assert json.loads(text)["completed"] is True


@pytest.mark.parametrize("change", STALE.values(), ids=STALE)
@pytest.mark.parametrize("name", READING)
def test_json_of_another_version_is_made_when_read(
    name: str, change: str, superuser: Connection
) -> None:
    alice = new_user_id()
    task_id = create(superuser, alice, completed="list completed" in name)
    _, made, _ = stored(superuser, task_id)
    superuser.execute(f"UPDATE todo.tasks SET {change} WHERE id = %s".encode(), [task_id])
    values = {**values_for(alice, task_id), "limit": 10}
    with superuser.transaction(force_rollback=True):
        superuser.execute(b"SELECT")
        set_user(superuser, alice, writes=False)
        assert answered(run_query(superuser, STATEMENTS[name].bind(values))) == json.loads(made)


@pytest.mark.parametrize("change", STALE.values(), ids=STALE)
@pytest.mark.parametrize("name", ["update", "complete"])
def test_a_change_brings_the_json_up_to_date(
    name: str, change: str, superuser: Connection
) -> None:
    alice = new_user_id()
    task_id = create(superuser, alice)
    superuser.execute(f"UPDATE todo.tasks SET {change} WHERE id = %s".encode(), [task_id])
    run_query(superuser, STATEMENTS[name].bind(values_for(alice, task_id)))
    text, made, version = stored(superuser, task_id)
    assert text == made
    assert version == REPRESENTATION_VERSION


@pytest.mark.parametrize(
    ("name", "field"),
    [("update", "description"), ("update", "priority"), ("complete", "completed")],
)
def test_a_change_of_no_indexed_column_writes_no_index(
    name: str, field: str, scratch_db: Cluster
) -> None:
    alice = new_user_id()
    question = b"""SELECT pg_stat_get_xact_tuples_hot_updated('todo.tasks'::regclass),
        pg_stat_get_xact_tuples_hot_updated('todo.users'::regclass)"""
    with psycopg.connect(scratch_db.superuser) as superuser:
        task_id = create(superuser, alice, title="x")
        kept = ("new_title", "new_completed", "new_tags")
        values = values_for(alice, task_id) | dict.fromkeys(kept)
        values |= {flag: flag == f"set_{field}" for flag in values if flag.startswith("set_")}
        run_query(superuser, STATEMENTS[name].bind(values))
        assert superuser.execute(question).fetchone() == (1, 1)
