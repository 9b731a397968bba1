"""The tasks that everybody works on, the same for every service and every drive.

They are made once, in a schema of their own; `reset` puts a fresh copy into the tables of
the service. Ids follow from names, so that nobody has to look them up.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
from models.task import Task
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from models import embedded, migrate

CROWD = 1_000
"""Users of the crowd to begin with …"""
EACH = 100
"""… and the tasks that each of them has."""
SINGLES = (10, 20, 100, 1_000, 10_000)
"""Beside the crowd, there is one user with each of these numbers of tasks."""
PEER = "bench_peer"

# Checkpoints and autovacuum would hit one service and spare the next.
CALM = ("checkpoint_timeout = '1d'", "max_wal_size = '32GB'", "autovacuum = off")
# What PostgreSQL's manual starts from (19.4.1); its default is made for any machine, and
# holds a tenth of the tables at their largest.
ROOMY = f"shared_buffers = '{psutil.virtual_memory().total // 4 // 1024**2}MB'"

# PostgreSQL writes the rest itself.
COLUMNS = ", ".join(column.name for column in Task.__table__.columns if not column.computed)

TASKS = """
    INSERT INTO bench.tasks
    SELECT md5(name), md5(name || ' task ' || n)::uuid, titles[1 + n %% 8] || ' ' || n,
        CASE n %% 2 WHEN 0 THEN 'Not before the weather is better, nor without the list' END,
        n %% 3 = 0, priorities[1 + n %% 4],
        CASE WHEN n %% 3 > 0 THEN timestamptz '2027-01-01Z' + n %% 400 * interval '6 hours' END,
        stamp, stamp, 1
    FROM (VALUES (ARRAY['Water the plants', 'Call the bank', 'Buy bread and milk', 'Answer Bob',
        'Pay the rent', 'Book a table', 'Repair the bicycle', 'Write to grandmother'],
        ARRAY['low', 'medium', 'high', NULL])) AS words (titles, priorities),
        unnest(%(names)s::text[], %(counts)s::int[]) AS people (name, tasks),
        generate_series(1, tasks) AS n,
        LATERAL (SELECT timestamptz '2026-01-01Z' + interval '1 microsecond'
            * (('x' || substr(md5(name || n), 1, 7))::bit(28)::int * 117647::bigint) AS stamp)
    ORDER BY stamp"""

INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'todo' AND tablename = 'tasks' AND indexname NOT LIKE 'pk%'"""


def crowd_member(number: int) -> str:
    """Name somebody of the crowd."""
    return f"user {number}"


def single(tasks: int) -> str:
    """Name the user who has so many tasks."""
    return f"the user with {tasks}"


def user_id(name: str) -> str:
    """Return the id of a user: 32 characters, as Better Auth's are."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def task_id(name: str, number: int) -> UUID:
    """Return the id of one of a user's tasks; they count from 1."""
    return UUID(user_id(f"{name} task {number}"))


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the database is, for each party."""

    serving: str
    owner: str
    superuser: str
    peer: str
    """For the peers: a role that row security does not bind, which spares them its cost."""


def superuser(urls: embedded.Urls, data_dir: Path) -> str:
    """Return the URL of the role that may do everything."""
    passwords = json.loads((data_dir / "postgres" / "secrets").read_text())
    return make_conninfo(urls.owner, user="postgres", password=passwords["postgres"])


def run(url: str, *commands: str) -> None:
    """Run commands, each for itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for command in commands:
            connection.execute(command.encode())


def configure(urls: embedded.Urls, data_dir: Path) -> None:
    """Set PostgreSQL up as for all measurements, from its next start on."""
    settings = (f"ALTER SYSTEM SET {setting}" for setting in (*CALM, ROOMY))
    run(superuser(urls, data_dir), *settings)


class Dataset:
    """The tables of the service, and the copy that they are filled from."""

    def __init__(self, urls: embedded.Urls, data_dir: Path) -> None:
        """Migrate the database, and make everything beside it that is needed."""
        peer = {"user": PEER, "password": secrets.token_hex(16)}
        place = conninfo_to_dict(urls.owner)
        where = f"{place['host']}:{place['port']}/{place['dbname']}"
        self.urls = Urls(
            serving=urls.serving,
            owner=urls.owner,
            superuser=superuser(urls, data_dir),
            peer=f"postgresql://{peer['user']}:{peer['password']}@{where}",
        )
        migrate.upgrade(urls.owner, urls.serving)
        self.run(
            f"CREATE ROLE {PEER} LOGIN BYPASSRLS PASSWORD '{peer['password']}'",
            f"GRANT USAGE ON SCHEMA todo TO {PEER}",
            f"GRANT ALL ON todo.users, todo.tasks TO {PEER}",
            "CREATE SCHEMA bench",
            f"CREATE UNLOGGED TABLE bench.tasks AS SELECT {COLUMNS} FROM todo.tasks",  # noqa: S608
        )
        self.fill(CROWD)

    def fill(self, crowd: int) -> None:
        """Have a crowd of so many users, and those beside it."""
        self.crowd = crowd
        people = [(single(tasks), tasks) for tasks in SINGLES]
        people += [(crowd_member(number), EACH) for number in range(crowd)]
        names, counts = zip(*people, strict=True)
        with psycopg.connect(self.urls.superuser) as connection:
            connection.execute("TRUNCATE bench.tasks")
            connection.execute(TASKS, {"names": [*names], "counts": [*counts]})
        self.reset()

    def reset(self) -> None:
        """Bring the tables into the state that every drive begins with.

        Without triggers (foreign keys) and with indexes built afterwards: that takes a
        tenth of the time.
        """
        indexes = dict(self.all(INDEXES))
        self.run(
            "CHECKPOINT",
            "SET session_replication_role = replica",
            "TRUNCATE todo.users, todo.tasks",
            *(f"DROP INDEX todo.{name}" for name in indexes),
            "INSERT INTO todo.users (id) SELECT DISTINCT user_id FROM bench.tasks",
            f"INSERT INTO todo.tasks ({COLUMNS}) SELECT * FROM bench.tasks",  # noqa: S608
            *indexes.values(),
            "VACUUM (FREEZE, ANALYZE) todo.users, todo.tasks",
        )

    def rows(self) -> int:
        """Count the tasks."""
        return int(self.ask("SELECT count(*) FROM bench.tasks"))

    def ask(self, question: str) -> str:
        """Ask for one value."""
        ((answer,),) = self.all(question)
        return str(answer)

    def all(self, question: str) -> list[tuple[Any, ...]]:
        """Ask for rows."""
        with psycopg.connect(self.urls.superuser) as connection:
            return connection.execute(question.encode()).fetchall()

    def run(self, *commands: str) -> None:
        """Run commands as superuser, each for itself."""
        run(self.urls.superuser, *commands)
