"""A PostgreSQL server for the tests of the models, and databases in it."""

import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, TransactionStatus

from harness.binaries import OTHER_BINARIES
from models import embedded, migrate, queries
from models.postgres.database import KINDS, Database
from models.postgres.identity import set_identity
from models.postgres.statements import Query

KIND: Literal["postgresql", "citus"] = (
    "citus" if os.environ.get("TEST_DATABASE_KIND") == "citus" else "postgresql"
)
"""The DATABASE_KIND of these tests: PostgreSQL accepts what the service says to Citus."""

OTHER_DATABASE = OTHER_BINARIES is not None or KIND == "citus"
"""Whether these tests run again, on another database than the service's own."""

# What migrations use of Citus. Tables are only listed as distributed.
_CITUS_STUB = """
    CREATE TABLE IF NOT EXISTS public.pg_dist_partition (
        logicalrelid regclass, distribution_column text, colocate_with text);
    CREATE OR REPLACE FUNCTION public.create_distributed_table(
            table_name regclass, distribution_column text, colocate_with text) RETURNS void
        LANGUAGE sql SECURITY DEFINER
        AS 'INSERT INTO public.pg_dist_partition VALUES ($1, $2, $3)';
    CREATE OR REPLACE FUNCTION public.create_reference_table(table_name regclass) RETURNS void
        LANGUAGE sql SECURITY DEFINER
        AS 'INSERT INTO public.pg_dist_partition VALUES ($1, NULL, NULL)';
    GRANT SELECT ON public.pg_dist_partition TO PUBLIC;
"""


class Cluster:
    """A running server, and one of its databases."""

    def __init__(self, urls: embedded.Urls, superuser_password: str) -> None:
        """Add the superuser, which the service never uses, to the URLs."""
        self.app = urls.app
        self.owner = urls.owner
        self.superuser = make_conninfo(urls.owner, user="postgres", password=superuser_password)

    @property
    def name(self) -> str:
        """The name of the database."""
        return str(conninfo_to_dict(self.owner)["dbname"])

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(str(conninfo_to_dict(self.owner)["port"]))

    def with_params(self, **changes: Any) -> "Cluster":
        """Return a copy with other connection parameters, such as `dbname` or `port`."""
        other = object.__new__(type(self))
        for role in ("app", "owner", "superuser"):
            setattr(other, role, make_conninfo(getattr(self, role), **changes))
        return other

    @contextmanager
    def new_database(
        self, template: str = "template1", options: str = ""
    ) -> Iterator["Cluster"]:
        """Create a database, empty or a copy of `template`, which is dropped on exit."""
        new = self.with_params(dbname=f"test_{secrets.token_hex(4)}")
        self.execute(
            f"CREATE DATABASE {new.name} OWNER todo_owner TEMPLATE {template} {options}"
        )
        try:
            yield new
        finally:
            self.execute(f"DROP DATABASE {new.name} WITH (FORCE)")

    def execute(self, text: str) -> None:
        """Execute SQL as superuser."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute(text.encode())

    def scalar(self, query: str) -> Any:
        """Return the only value of a query, run as superuser."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            ((value,),) = connection.execute(query.encode()).fetchall()
            return value

    def migrate(self, kind: str = KIND) -> None:
        """Migrate this database, as the service does at start."""
        if kind == "citus":
            self.execute(_CITUS_STUB)
        migrate.upgrade(self.owner, self.app, distribute=kind == "citus")


@contextmanager
def running_cluster(data_dir: Path) -> Iterator[Cluster]:
    """Run a server with its data in `data_dir`."""
    with embedded.running(data_dir) as urls:
        passwords = json.loads((data_dir / "postgres" / "secrets").read_text())
        yield Cluster(urls, passwords["postgres"])


@asynccontextmanager
async def open_database(url: str, **settings: Any) -> AsyncIterator[Database]:
    """Open a Database with a small pool; `settings` override the defaults."""
    defaults: dict[str, Any] = {
        "kind": KIND,
        "statements": queries.PREPARED,
        "constants": {"deletion_retention": "90 days"},
        "pool_size": 3,
        "queue_size": 1000,
        "queue_timeout": 10,
        "statement_timeout": 5,
    }
    database = Database(url, **{**defaults, **settings})
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def new_user_id() -> str:
    """Return a unique user id."""
    return secrets.token_hex(16)


def identity_query(user_id: str) -> Query:
    """Return the query that sets the user of a transaction on PostgreSQL."""
    (query,) = set_identity(user_id, writes=True, statement_timeout=60)
    return query


def set_user(connection: psycopg.Connection[Any], user_id: str, *, writes: bool = True) -> None:
    """Set the user of a connection's transaction, as the service does."""
    for query in KINDS[KIND].begin(user_id, writes, 60):
        run_query(connection, query)


def run_query(
    connection: psycopg.Connection[Any], query: Query
) -> list[tuple[bytes | None, ...]]:
    """Run a query in a connection's transaction; return its rows undecoded."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        connection.execute("SELECT")  # begins one
    result = connection.pgconn.exec_params(query.sql, query.values)
    if result.status == ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result)
    columns = range(result.nfields)
    return [
        tuple(result.get_value(row, column) for column in columns)
        for row in range(result.ntuples)
    ]
