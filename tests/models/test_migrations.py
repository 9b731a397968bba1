"""Migrations: they create the declared schema, concurrently and with any role."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import sqlalchemy as sa

from harness.better_auth import conninfo_to_url
from harness.cluster import Cluster, new_user_id, open_database
from harness.waiting import poll_until
from models import migrate
from models.changes import list_changes
from models.errors import MigrationFailed
from models.tables import Task
from models.tasks import complete_task, create_task, list_tasks

REPOSITORY = Path(__file__).parents[2]
DEFINITIONS = {
    "columns": """SELECT table_name, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'todo' ORDER BY 1, 2""",
    "constraints": """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'todo'::regnamespace ORDER BY 1""",
    "storage": """SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'todo'::regnamespace AND reloptions IS NOT NULL""",
    "indexes": """SELECT indexdef FROM pg_indexes WHERE schemaname = 'todo' ORDER BY 1""",
}


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Cluster]:
    """Create an empty database."""
    with cluster.new_database() as empty:
        yield empty


def definitions(cluster: Cluster) -> dict[str, list[Any]]:
    with psycopg.connect(cluster.superuser) as connection:
        return {
            what: [
                row
                for row in connection.execute(question.encode()).fetchall()
                if "alembic_version" not in repr(row)
            ]
            for what, question in DEFINITIONS.items()
        }


def alembic(
    cluster: Cluster, *arguments: str, url: str = "{}", setting: str = "MIGRATION_DATABASE_URL"
) -> str:
    """Run the alembic command with a URL in one of the settings; return its output."""
    unset = {"MIGRATION_DATABASE_URL": "", "DATABASE_URL": ""}
    written = url.format(conninfo_to_url(cluster.owner))
    environment = {**os.environ, **unset, setting: written}
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_migrations_create_the_schema_that_the_models_declare(
    empty: Cluster, scratch_db: Cluster
) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(empty.owner)
    )
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA todo"))
        Task.metadata.create_all(connection)
    engine.dispose()
    assert definitions(scratch_db) == definitions(empty)
    assert all(definitions(scratch_db).values())


def test_alembic_check_finds_no_difference(scratch_db: Cluster) -> None:
    scratch_db.execute(
        "CREATE TABLE public.account (id text)"
    )  # a table of Better Auth, to be ignored
    assert "No new upgrade operations detected" in alembic(scratch_db, "check")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE todo.tasks ADD COLUMN new int",
        "DROP INDEX todo.ix_tasks_title",
        "DROP INDEX todo.ix_tasks_created",
        "ALTER TABLE todo.tasks ALTER COLUMN version DROP DEFAULT",
    ],
)
def test_alembic_check_finds_a_difference(change: str, scratch_db: Cluster) -> None:
    scratch_db.execute(change)
    with pytest.raises(AssertionError, match="New upgrade operations detected"):
        alembic(scratch_db, "check")


@pytest.mark.parametrize("setting", ["MIGRATION_DATABASE_URL", "DATABASE_URL"])
def test_alembic_reads_a_url_as_the_service_does(setting: str, scratch_db: Cluster) -> None:
    alembic(scratch_db, "current", url=" {}?pgbouncer=true&schema=public\n", setting=setting)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "Set MIGRATION_DATABASE_URL or DATABASE_URL."),
        ("mysql://me:hunter2@db/todo", "DATABASE_URL must be a URL such as postgresql://"),
    ],
)
def test_alembic_says_what_is_wrong_with_the_url(
    url: str, message: str, scratch_db: Cluster
) -> None:
    with pytest.raises(AssertionError, match=f"FAILED: {message}") as failed:
        alembic(scratch_db, "current", url=url, setting="DATABASE_URL")
    assert "hunter2" not in str(failed.value)


def test_all_migrations_can_be_downgraded_and_upgraded_again(scratch_db: Cluster) -> None:
    before = definitions(scratch_db)
    alembic(scratch_db, "downgrade", "base")
    assert not any(definitions(scratch_db).values())
    alembic(scratch_db, "upgrade", "head")
    assert definitions(scratch_db) == before


def test_autogenerate_writes_a_migration_that_runs(scratch_db: Cluster, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "migrations", tmp_path / "migrations")
    config = str(shutil.copy(REPOSITORY / "pyproject.toml", tmp_path))
    scratch_db.execute("ALTER TABLE todo.tasks DROP COLUMN version")
    alembic(scratch_db, "--config", config, "revision", "--autogenerate", "-m", "Put it back")
    (script,) = tmp_path.glob("migrations/versions/*_put_it_back.py")
    assert "op.add_column" in script.read_text()
    alembic(scratch_db, "--config", config, "upgrade", "head")
    assert scratch_db.scalar("SELECT count(version) FROM todo.tasks") == 0


@contextmanager
def migrating(*databases: Cluster) -> Iterator[None]:
    """Run a migrating process for each database; on exit, wait until all succeed."""
    script = "import sys; from models import migrate; migrate.upgrade(*sys.argv[1:])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, database.owner, database.app], cwd=REPOSITORY
        )
        for database in databases
    ]
    try:
        yield
    finally:
        statuses = [process.wait() for process in processes]
    assert statuses == len(databases) * [0]


@pytest.mark.anyio
async def test_concurrent_migrations_wait_for_each_other(
    empty: Cluster,
) -> None:
    async def all_blocked() -> bool:
        question = """SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"""
        return bool(empty.scalar(question) == 5)

    with psycopg.connect(empty.superuser) as blocker:
        blocker.execute("SELECT pg_advisory_lock(7020184)")
        with migrating(*(5 * [empty])):
            try:
                await poll_until(all_blocked)
            finally:
                blocker.execute("SELECT pg_advisory_unlock(7020184)")
    assert empty.scalar("SELECT count(*) FROM todo.alembic_version") == 1


def test_databases_of_one_cluster_can_be_migrated_concurrently(cluster: Cluster) -> None:
    with ExitStack() as stack:
        databases = [stack.enter_context(cluster.new_database()) for _ in range(4)]
        with migrating(*databases):
            pass


def test_migrating_again_changes_nothing_and_keeps_the_data(scratch_db: Cluster) -> None:
    user = new_user_id()
    scratch_db.execute(f"INSERT INTO todo.users (id) VALUES ('{user}')")
    before = definitions(scratch_db)
    scratch_db.migrate()
    assert definitions(scratch_db) == before
    assert scratch_db.scalar("SELECT id FROM todo.users") == user


def test_upgrading_backfills_the_json_of_existing_tasks(scratch_db: Cluster) -> None:
    alembic(scratch_db, "downgrade", "0001")
    user = new_user_id()
    scratch_db.execute(f"""
        INSERT INTO todo.users (id) VALUES ('{user}');
        INSERT INTO todo.tasks (user_id, id, title) VALUES ('{user}', gen_random_uuid(), 'old')
    """)
    scratch_db.migrate()
    assert scratch_db.scalar("SELECT representation::json ->> 'title' FROM todo.tasks") == "old"


def test_json_is_left_to_the_statements_without_rewriting_the_table(
    scratch_db: Cluster,
) -> None:
    alembic(scratch_db, "downgrade", "0002")
    user = new_user_id()
    scratch_db.execute(f"""
        INSERT INTO todo.users (id) VALUES ('{user}');
        INSERT INTO todo.tasks (user_id, id, title) VALUES ('{user}', gen_random_uuid(), 'old')
    """)
    place = "SELECT pg_relation_filenode('todo.tasks')"
    row = "SELECT (representation, ctid)::text FROM todo.tasks"
    before = scratch_db.scalar(place), scratch_db.scalar(row)
    scratch_db.migrate()
    assert (scratch_db.scalar(place), scratch_db.scalar(row)) == before
    assert scratch_db.scalar("SELECT representation_version FROM todo.tasks") == 1


PRIORITIES: list[Literal["low", "medium", "high", "urgent"]] = [
    "low",
    "medium",
    "high",
    "urgent",
]
FILLED = """
    INSERT INTO todo.users (id) SELECT 'user-' || n FROM generate_series(1, 100) AS n;
    INSERT INTO todo.tasks (user_id, id, title, priority, completed, version)
    SELECT 'user-' || n, gen_random_uuid(), 'x', 'high', n % 2 = 0, n
    FROM generate_series(1, 100) AS n
"""
FILENODES = """SELECT array_agg(pg_relation_filenode(oid) ORDER BY relname)::text
    FROM pg_class WHERE oid IN ('todo.users'::regclass, 'todo.tasks'::regclass)"""
ROWS = "SELECT array_agg((ctid, xmin)::text ORDER BY ctid)::text FROM todo.{}"


def test_revisions_are_added_without_rewriting_a_table_or_a_row(scratch_db: Cluster) -> None:
    alembic(scratch_db, "downgrade", "0004")
    scratch_db.execute(FILLED)
    questions = (FILENODES, ROWS.format("users"), ROWS.format("tasks"))
    before = [scratch_db.scalar(question) for question in questions]
    scratch_db.migrate()
    assert [scratch_db.scalar(question) for question in questions] == before


def test_revisions_begin_above_every_version_of_before(scratch_db: Cluster) -> None:
    alembic(scratch_db, "downgrade", "0004")
    scratch_db.execute(FILLED)
    begin = time.time_ns() // 1000
    scratch_db.migrate()
    for extreme in ("min(revision)", "max(revision)", "min(forgotten)", "max(forgotten)"):
        revision = scratch_db.scalar(f"SELECT {extreme} FROM todo.users")
        assert begin - 60_000_000 < revision < time.time_ns() // 1000 < 2**53
    assert scratch_db.scalar("SELECT max(version) FROM todo.tasks") == 100


@pytest.mark.anyio
async def test_tasks_of_before_revisions_can_be_read_changed_and_synchronized(
    scratch_db: Cluster,
) -> None:
    alembic(scratch_db, "downgrade", "0004")
    scratch_db.execute(FILLED)
    scratch_db.migrate()
    async with open_database(scratch_db.app) as database:
        (task,) = json.loads((await list_tasks(database, "user-7", limit=10)).json)
        assert (task["tags"], task["remind_at"], task["completed_at"]) == ([], None, None)
        changed = await complete_task(database, "user-7", task["id"], None, [7])
        changes = await list_changes(database, "user-7", None, 10)
    assert json.loads(changes.changed) == [json.loads(changed.json)]
    assert changes.state.revision == changed.version


@pytest.mark.anyio
async def test_on_downgrade_urgent_tasks_become_high(scratch_db: Cluster) -> None:
    async with open_database(scratch_db.app) as database:
        for priority in PRIORITIES:
            await create_task(database, "alice", {"title": priority, "priority": priority})
    alembic(scratch_db, "downgrade", "0004")
    priorities = "SELECT string_agg(title || ' ' || priority, ', ' ORDER BY title)"
    expected = "high high, low low, medium medium, urgent high"
    assert scratch_db.scalar(f"{priorities} FROM todo.tasks") == expected
    # The service of before makes the JSON again: it does not know how this one was made.
    assert scratch_db.scalar("SELECT count(representation_version) FROM todo.tasks") == 0
    scratch_db.migrate()
    async with open_database(scratch_db.app) as database:
        page = await list_tasks(database, "alice", sort="title", limit=10)
    stored = [f"{task['title']} {task['priority']}" for task in json.loads(page.json)]
    assert ", ".join(stored) == expected


@pytest.mark.anyio
async def test_the_app_role_works_without_default_execute_privileges(empty: Cluster) -> None:
    empty.execute("""ALTER DEFAULT PRIVILEGES FOR ROLE todo_owner
        REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC""")
    empty.migrate()
    async with open_database(empty.app) as database:
        await create_task(database, new_user_id(), {"title": "x"})


def test_a_migration_that_fails_leaves_nothing(empty: Cluster) -> None:
    empty.execute("CREATE SCHEMA todo AUTHORIZATION todo_owner")
    empty.execute("CREATE TYPE todo.tasks AS ENUM ()")  # conflicts with the table
    with pytest.raises(MigrationFailed, match="SQLSTATE 42710") as failure:
        empty.migrate()
    assert "CREATE TABLE" not in str(failure.value)
    assert not definitions(empty)["columns"]


def test_a_superuser_can_migrate_and_serve(empty: Cluster) -> None:
    migrate.upgrade(empty.superuser, empty.superuser)
    assert definitions(empty)["indexes"]


def test_one_login_can_migrate_and_serve(empty: Cluster) -> None:
    migrate.upgrade(empty.owner, empty.owner)
    with psycopg.connect(empty.owner) as connection:
        connection.execute("SET ROLE todo_serving")


def test_a_login_with_an_awkward_name_can_serve(empty: Cluster) -> None:
    name = f'o"brien %s :x {new_user_id()}'
    quoted = '"{}"'.format(name.replace('"', '""'))
    empty.execute(f"CREATE ROLE {quoted} LOGIN PASSWORD 'x'")
    try:
        serving = empty.with_params(user=name, password="x").app
        migrate.upgrade(empty.owner, serving)
        with psycopg.connect(serving) as connection:
            connection.execute("SET ROLE todo_serving")
    finally:
        empty.execute(f"DROP ROLE {quoted}")


def test_missing_privileges_are_reported_with_sql_for_an_administrator(empty: Cluster) -> None:
    weak = f"weak_{new_user_id()}"
    empty.execute(f"CREATE ROLE {weak} LOGIN PASSWORD 'x'")
    owner = empty.with_params(user=weak, password="x").owner
    try:
        with pytest.raises(MigrationFailed, match="As an administrator, run") as failure:
            migrate.upgrade(owner, empty.app)
        remedy = str(failure.value).partition("\n\n")[2]
        assert re.findall("(?:GRANT|CREATE) .*;", remedy) == remedy.splitlines()
        empty.execute(remedy)
        migrate.upgrade(owner, empty.app)
    finally:
        empty.execute(f"DROP OWNED BY {weak} CASCADE")
        empty.execute(f"DROP ROLE {weak}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"port": 1}, r"todo\w* at 127.0.0.1:1 as todo_owner: .*Connection refused"),
        ({"password": "wr0ng"}, r"as todo_owner: .*password authentication failed"),
    ],
)
def test_an_unreachable_database_is_named_without_the_password(
    change: dict[str, Any], message: str, cluster: Cluster
) -> None:
    with pytest.raises(MigrationFailed, match=message) as failure:
        cluster.with_params(**change).migrate()
    assert "wr0ng" not in str(failure.value)


def test_an_invalid_url_is_not_quoted(cluster: Cluster) -> None:
    with pytest.raises(MigrationFailed, match="cannot be read") as failure:
        migrate.upgrade("postgresql://me:s3cr%zz@db/todo", cluster.app)
    assert "s3cr" not in str(failure.value)


def test_a_newer_schema_than_this_service_knows_is_reported(scratch_db: Cluster) -> None:
    scratch_db.execute("UPDATE todo.alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationFailed, match="9999"):
        scratch_db.migrate()


def test_a_login_that_does_not_exist_is_reported(empty: Cluster) -> None:
    with pytest.raises(MigrationFailed, match="no role nobody_of_that_name"):
        migrate.upgrade(empty.owner, empty.with_params(user="nobody_of_that_name").app)


def test_a_lock_timeout_is_reported(
    scratch_db: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", 0.1)
    with psycopg.connect(scratch_db.superuser) as other:
        other.execute("LOCK TABLE todo.alembic_version")
        with pytest.raises(MigrationFailed, match="locked"):
            scratch_db.migrate()


def test_migrating_does_not_change_logging(empty: Cluster) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("alembic").level
    empty.migrate()
    assert (root.level, list(root.handlers), logging.getLogger("alembic").level) == before
    assert not logging.getLogger("todo.migrations").disabled
