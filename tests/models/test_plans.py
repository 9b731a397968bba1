"""Query plans for a table of a million tasks, ten thousand of them owned by one user."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from harness.cluster import Cluster, identity_query, run_query
from harness.statements import LISTS, STATEMENTS, values_for
from models.postgres.statements import Query

pytestmark = pytest.mark.once

HEAVY, LIGHT = "heavy", "light-1"
WITHOUT_INDEXES = """
    SET maintenance_work_mem = '500MB';
    CREATE TEMPORARY TABLE later AS SELECT indexdef FROM pg_indexes
        WHERE schemaname = 'todo' AND indexname LIKE 'ix_tasks_%';
    DROP INDEX todo.ix_tasks_id, todo.ix_tasks_created, todo.ix_tasks_title,
        todo.ix_tasks_due_date;
    ALTER TABLE todo.tasks DROP CONSTRAINT pk_tasks;
"""
FILL = f"""
    SET session_replication_role = replica;  -- skips foreign key checks
    INSERT INTO todo.users (id) VALUES ('{HEAVY}');
    INSERT INTO todo.users (id) SELECT 'light-' || n FROM generate_series(0, 989) AS n;
    INSERT INTO todo.tasks (user_id, id, title, completed, priority, due_date, created_at)
    SELECT CASE WHEN n < 10000 THEN '{HEAVY}' ELSE 'light-' || n % 990 END,
        gen_random_uuid(), 'Task ' || hashint4(n), n % 3 = 0, 'low',
        CASE WHEN n % 2 = 0 THEN '2026-01-01Z'::timestamptz + n * interval '1 minute' END,
        '2020-01-01Z'::timestamptz + hashint4(n) * interval '10 milliseconds'
    FROM generate_series(0, 999999) AS n;
    INSERT INTO todo.deleted_tasks (user_id, revision, id)
    SELECT CASE WHEN n < 10000 THEN '{HEAVY}' ELSE 'light-' || n % 990 END,
        n, gen_random_uuid()
    FROM generate_series(1, 200000) AS n;
    INSERT INTO todo.idempotency_keys (
        user_id, key, fingerprint, task_id, version, response, created_at)
    SELECT CASE WHEN n < 10000 THEN '{HEAVY}' ELSE 'light-' || n % 990 END,
        'key-' || n, '', gen_random_uuid(), n, '{{}}',
        '2020-01-01Z'::timestamptz + n * interval '1 second'
    FROM generate_series(1, 200000) AS n;
"""
WITH_INDEXES = """
    ALTER TABLE todo.tasks ADD CONSTRAINT pk_tasks PRIMARY KEY (user_id, id);
    DO $$ DECLARE definition text; BEGIN
        FOR definition IN SELECT indexdef FROM later LOOP EXECUTE definition; END LOOP;
    END $$;
    ANALYZE todo.users, todo.tasks, todo.deleted_tasks, todo.idempotency_keys;
"""
TABLES = {"users", "tasks", "deleted_tasks", "idempotency_keys"}
WHOLE_USER = {*LISTS, "changes", "export", "clear_completed"}
BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}


@pytest.fixture(scope="module")
def million(cluster: Cluster) -> Iterator[Cluster]:
    """Create and fill the table once."""
    with cluster.new_database() as million:
        million.migrate()
        million.execute(WITHOUT_INDEXES + FILL + WITH_INDEXES)
        yield million


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def explained(
    cluster: Cluster,
    query: Query,
    *settings: Query,
    generic: bool = False,
    options: str = "",
) -> list[dict[str, Any]]:
    """Return the nodes of the plan of a query.

    A generic plan does not depend on the values, and is made once per connection; a custom
    plan is used behind a pooler.
    """
    with psycopg.connect(cluster.superuser) as connection:
        for setting in settings:
            run_query(connection, setting)
        if generic:
            explain = b"EXPLAIN (FORMAT JSON, GENERIC_PLAN) " + query.sql
            plan = connection.pgconn.exec_(explain).get_value(0, 0)
        else:
            explain = f"EXPLAIN ({options}FORMAT JSON) ".encode() + query.sql
            ((plan,),) = run_query(connection, Query(explain, query.values))
        connection.rollback()
    return list(nodes(json.loads(plan or b"")[0]["Plan"]))


def reads(plan: list[dict[str, Any]], tables: set[str] = TABLES) -> list[dict[str, Any]]:
    return [
        node
        for node in plan
        if node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable"
    ]


@pytest.mark.parametrize("user", [HEAVY, LIGHT, "nobody"])
@pytest.mark.parametrize(("limit", "offset"), [(10_000, 0), (50, 0), (50, 5000)])
@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_rows_by_an_index(
    name: str, limit: int, offset: int, user: str, million: Cluster
) -> None:
    values = {**values_for(user, uuid4()), "limit": limit, "offset": offset}
    plan = explained(million, STATEMENTS[name].bind(values), identity_query(user))
    assert reads(plan) or name in {"create", "exists"}
    for node in reads(plan):
        assert node["Node Type"] in BY_INDEX, node
        condition = node.get("Index Cond") or node["Recheck Cond"]
        of_user = name in WHOLE_USER and node["Relation Name"] != "users"
        assert ("user_id = " if of_user else "id = ") in condition, node


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_generic_plan_finds_rows_by_an_index(name: str, million: Cluster) -> None:
    query = STATEMENTS[name].bind(values_for(HEAVY, uuid4()))
    plan = explained(million, query, identity_query(HEAVY), generic=True)
    assert reads(plan) or name in {"create", "exists"}
    for node in reads(plan):
        assert node["Node Type"] in BY_INDEX, node


FILTERS: dict[str, object] = {
    "priorities": ["low", "none"],
    "tags": ["home"],
    "search": "task",
    "due_after": datetime(2026, 1, 1, tzinfo=UTC),
    "due_before": datetime(2027, 1, 1, tzinfo=UTC),
    "completed": [False],
}


@pytest.mark.parametrize("limit", [50, 10_000])
@pytest.mark.parametrize("name", [name for name in LISTS if name.startswith("filtered")])
def test_every_filter_reads_rows_of_one_user_by_an_index(
    name: str, limit: int, million: Cluster
) -> None:
    after: dict[str, object] = {
        "after_id": uuid4(),
        "after_text": "high" if "priority" in name else "task",
        "after_instant": datetime(2021, 1, 1, tzinfo=UTC),
    }
    each: list[dict[str, object]] = [{key: value} for key, value in FILTERS.items()]
    for given in ({}, after, FILTERS, FILTERS | after, *each):
        values = {**values_for(HEAVY, uuid4()), "limit": limit, **given}
        plan = explained(million, STATEMENTS[name].bind(values), identity_query(HEAVY))
        for node in reads(plan):
            assert node["Node Type"] in BY_INDEX, node
            condition = node.get("Index Cond") or node["Recheck Cond"]
            assert "id = " in condition, node


@pytest.mark.parametrize("generic", [True, False], ids=["generic", "custom"])
@pytest.mark.parametrize("sort", ["created", "title", "due_date"])
def test_a_page_of_everything_is_read_in_order_and_not_sorted(
    sort: str, million: Cluster, *, generic: bool
) -> None:
    values = {**values_for(HEAVY, uuid4()), "limit": 50}
    query = STATEMENTS[f"list all {sort}"].bind(values)
    plan = explained(million, query, identity_query(HEAVY), generic=generic)
    assert {node["Node Type"] for node in plan}.isdisjoint({"Sort", "Incremental Sort"})


@pytest.mark.parametrize("status", ["pending", "completed"])
def test_a_page_of_one_status_is_read_in_order_of_creation(
    status: str, million: Cluster
) -> None:
    values = {**values_for(HEAVY, uuid4()), "limit": 50}
    statement = STATEMENTS[f"list {status} created"]
    plan = explained(million, statement.bind(values), identity_query(HEAVY))
    assert "ix_tasks_created" in {node.get("Index Name") for node in plan}
    assert {node["Node Type"] for node in plan}.isdisjoint({"Sort", "Incremental Sort"})


def test_the_probe_finds_an_id_by_an_index(million: Cluster) -> None:
    query = Query(b"SELECT FROM todo.tasks WHERE tasks.id = $1", [str(uuid4()).encode()])
    plan = explained(million, query, Query(b"SET LOCAL ROLE todo_probe", []))
    assert [node.get("Index Name") for node in reads(plan)] == ["ix_tasks_id"]
