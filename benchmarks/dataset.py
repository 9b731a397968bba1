"""The benchmark data: the same users and tasks in every database and for every run.

Each database holds a pristine copy in the schema `bench`; `Dataset.reset` restores the
service's tables from it. Ids are derived from names, so requests can be built without
querying the database.
"""

import hashlib
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.database import DatabaseUrls, execute

USERS = 1_000
"""The default number of regular users."""
TASKS_PER_USER = 100
TASK_COUNTS = (10, 20, 100, 1_000, 10_000)
"""For each of these there is one more user, with that many tasks."""

# The columns that every checkout has; others keep their defaults.
COLUMNS = (
    "user_id, id, title, description, completed, priority, due_date, created_at, updated_at"
)

GENERATE_TASKS = """
    INSERT INTO bench.tasks ({columns})
    SELECT md5(name), md5(name || ' task ' || n)::uuid, titles[1 + n %% 8] || ' ' || n,
        CASE n %% 2 WHEN 0 THEN 'Not before the weather is better, nor without the list' END,
        n %% 3 = 0, priorities[1 + n %% 4],
        CASE WHEN n %% 3 > 0 THEN timestamptz '2027-01-01Z' + n %% 400 * interval '6 hours' END,
        stamp, stamp
    FROM (VALUES (ARRAY['Water the plants', 'Call the bank', 'Buy bread and milk', 'Answer Bob',
        'Pay the rent', 'Book a table', 'Repair the bicycle', 'Write to grandmother'],
        ARRAY['low', 'medium', 'high', NULL])) AS samples (titles, priorities),
        unnest(%(names)s::text[], %(counts)s::int[]) AS users (name, tasks),
        generate_series(1, tasks) AS n,
        LATERAL (SELECT timestamptz '2026-01-01Z' + interval '1 microsecond'
            * (('x' || substr(md5(name || n), 1, 7))::bit(28)::int * 117647::bigint) AS stamp)
    ORDER BY stamp"""

# A generated column is computed by PostgreSQL; where the statements of a checkout write the
# JSON of a task, the newest function is the one they use.
STORED_COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema = 'todo' AND table_name = 'tasks' AND is_generated = 'NEVER'"""
JSON_FUNCTION = """
    SELECT proname, array_to_string(proargnames, ', ') FROM pg_proc
    WHERE pronamespace = 'todo'::regnamespace AND proname ~ '^task_json_v[0-9]+$'
    ORDER BY length(proname) DESC, proname DESC LIMIT 1"""

TABLES = """
    SELECT 'todo.' || tablename FROM pg_tables
    WHERE schemaname = 'todo' AND tablename <> 'alembic_version'"""
INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'todo' AND tablename = 'tasks' AND indexname NOT LIKE 'pk%'"""


def regular_user(number: int) -> str:
    """Return the name of a regular user."""
    return f"user {number}"


def user_with(tasks: int) -> str:
    """Return the name of the user with this number of tasks."""
    return f"user with {tasks} tasks"


def user_id(name: str) -> str:
    """Return the id of a user: 32 characters, like those of Better Auth."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def task_id(name: str, number: int) -> UUID:
    """Return the id of a user's task; tasks are numbered from 1."""
    return UUID(user_id(f"{name} task {number}"))


class Dataset:
    """The benchmark data in one migrated database."""

    def __init__(self, urls: DatabaseUrls) -> None:
        """Create the pristine copy and load the default data."""
        self.urls = urls
        self.execute(
            "CREATE SCHEMA bench",
            "CREATE UNLOGGED TABLE bench.tasks (LIKE todo.tasks INCLUDING DEFAULTS)",
        )
        self._columns = self.fetch_value(STORED_COLUMNS)
        self.load(USERS)

    def load(self, users: int) -> None:
        """Replace the data: this number of regular users, and those of TASK_COUNTS."""
        self.users = users
        counts = {user_with(tasks): tasks for tasks in TASK_COUNTS}
        counts |= {regular_user(number): TASKS_PER_USER for number in range(users)}
        with psycopg.connect(self.urls.superuser) as connection:
            connection.execute("TRUNCATE bench.tasks")
            connection.execute(
                GENERATE_TASKS.replace("{columns}", COLUMNS),
                {"names": [*counts], "counts": [*counts.values()]},
            )
            for function, arguments in connection.execute(JSON_FUNCTION).fetchall():
                version = function.removeprefix("task_json_v")
                connection.execute(
                    f"UPDATE bench.tasks SET representation = todo.{function}({arguments}), "  # noqa: S608
                    f"representation_version = {version}".encode()
                )
        self.reset()

    def reset(self) -> None:
        """Restore the service's tables from the pristine copy.

        Triggers (foreign keys) are off and indexes are rebuilt afterwards, which takes a
        tenth of the time.
        """
        indexes = dict(self.fetch_all(INDEXES))
        tables = [table for (table,) in self.fetch_all(TABLES)]
        users = "INSERT INTO todo.users (id) SELECT DISTINCT user_id FROM bench.tasks"
        self.execute(
            "CHECKPOINT",
            "SET session_replication_role = replica",
            f"TRUNCATE {', '.join(tables)}",
            *(f"DROP INDEX todo.{name}" for name in indexes),
            *([users] if "todo.users" in tables else ()),
            f"INSERT INTO todo.tasks ({self._columns}) SELECT {self._columns} FROM bench.tasks",  # noqa: S608
            *indexes.values(),
            f"VACUUM (FREEZE, ANALYZE) {', '.join(tables)}",
        )
        self._modified = False

    def prepare_run(self, *, writes: bool) -> None:
        """Restore the tables if an earlier run has written to them."""
        if self._modified:
            self.reset()
        self._modified = writes

    def count_tasks(self) -> int:
        """Return the number of tasks."""
        return int(self.fetch_value("SELECT count(*) FROM bench.tasks"))

    def fetch_value(self, query: str) -> str:
        """Return the single value of a query, as text."""
        ((value,),) = self.fetch_all(query)
        return str(value)

    def fetch_all(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query, run as superuser."""
        with psycopg.connect(self.urls.superuser) as connection:
            return connection.execute(query.encode()).fetchall()

    def execute(self, *commands: str) -> None:
        """Execute commands as superuser, each in a transaction of its own."""
        execute(self.urls.superuser, *commands)
