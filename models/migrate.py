"""Migrating the schema at start; several processes may do so at the same time."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from psycopg.sql import SQL, Identifier

from models.errors import MigrationFailed
from models.postgres.dsn import describe_dsn, dsn_user
from models.postgres.encoding import encoding_problem
from models.postgres.identity import APP_ROLE
from models.schema import MIN_SERVER_VERSION, PROBE_ROLE, SCHEMA

logger = logging.getLogger("todo.migrations")
Connection = psycopg.Connection[Any]
P = ParamSpec("P")
T = TypeVar("T")

# Beside this package in the repository, and where it is installed, which has no pyproject.toml.
SCRIPTS = Path(__file__).parents[1] / "migrations"
_CONNECT_TIMEOUT = 10  # seconds
_LOCK_ID = 7_020_184  # any number that nothing else in the same database locks
_LOCK_TIMEOUT = 60  # seconds, for another migration, and for all attempts to lock tables
# Whatever the service does with a table waits behind a migration that waits for the table.
_TABLE_LOCK_TIMEOUT = 0.5  # seconds; far below DATABASE_STATEMENT_TIMEOUT
_RETRY_PAUSE = 1.5  # seconds, in which the service catches up
_SET_OPTION_SINCE = 160_000  # the version in which memberships got the option SET


def retried_while_locked(function: Callable[P, T]) -> Callable[P, T]:
    """Call the function again for up to a minute if it fails because a table is locked.

    Raises MigrationFailed, as it does.
    """

    @wraps(function)
    def retried(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                return function(*args, **kwargs)
            except MigrationFailed as error:
                is_locked = isinstance(error.__cause__, LockNotAvailable)
                if not is_locked or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_PAUSE)

    return retried


@retried_while_locked
def upgrade(owner_url: str, app_url: str, *, distribute: bool = False) -> None:
    """Run pending migrations, and grant the app role to the login of `app_url`.

    If that is wanted, also distribute the tables over the workers of a Citus cluster. Each of
    these is one transaction. Raises MigrationFailed.
    """
    try:
        app_login = dsn_user(app_url)
    except psycopg.ProgrammingError:  # the message may quote the password
        message = f"Cannot connect to {describe_dsn(app_url)}"
        raise MigrationFailed(message) from None
    with connected(owner_url) as connection:
        is_current = _revisions(connection) == {head_revision()}
    if not is_current:
        # Most starts have nothing to migrate; this would make them half as long again.
        from models.alembic_upgrade import run_migrations  # noqa: PLC0415

        run_migrations(owner_url)
    with connected(owner_url) as connection:
        logins = [login for login in (_current_user(connection), app_login) if login]
        for login in logins:
            _grant_app_role(connection, login)
    if distribute:
        from models.distribution import distribute_tables  # noqa: PLC0415 (likewise)

        with connected(owner_url) as connection:
            distribute_tables(connection, logins)


def head_revision() -> str:
    """Return the latest revision of the migrations in this version of the service."""
    return max(script.name for script in SCRIPTS.glob("versions/[0-9]*.py")).partition("_")[0]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect, and commit one transaction on exit. Raises MigrationFailed.

    Waits for one that another process has begun in the same database.
    """
    with opened(url) as connection, connection.transaction():
        lock(connection)
        yield connection


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """Connect, and report what PostgreSQL refuses as MigrationFailed."""
    connection = _connect(url)
    admin_sql = ""
    try:
        with connection.transaction():
            admin_sql = _admin_sql(connection)
        yield connection
    except psycopg.Error as error:
        message = f"Cannot migrate {describe_dsn(url)}: {_reason(error, admin_sql)}"
        raise MigrationFailed(message) from error
    finally:
        connection.close()


def lock(connection: Connection) -> None:
    """Let no other process migrate until the transaction ends; bound the wait for tables."""
    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}s'")
    connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK_ID})")
    connection.execute(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_TIMEOUT}s'")


@contextmanager
def every_user_visible(connection: Connection) -> Iterator[None]:
    """Let the owner see all rows of `todo.users`, which nobody else can read meanwhile.

    Row-level security is forced on the owner, who may suspend that.
    """
    connection.execute("ALTER TABLE todo.users NO FORCE ROW LEVEL SECURITY")
    yield
    connection.execute("ALTER TABLE todo.users FORCE ROW LEVEL SECURITY")


def first_column(connection: Connection, query: str, *values: object) -> list[Any]:
    """Return the first column of the rows of a query."""
    return [value for value, *_ in connection.execute(query.encode(), values or None)]


def _revisions(connection: Connection) -> set[str]:
    """Return the revisions of the database as Alembic has stored them; none if it is new."""
    table = f"{SCHEMA}.alembic_version"
    if first_column(connection, f"SELECT to_regclass('{table}')") == [None]:
        return set()
    return set(first_column(connection, f"SELECT version_num FROM {table}"))  # noqa: S608


def _connect(url: str) -> Connection:
    where = describe_dsn(url)
    try:
        raw = psycopg.connect(
            url,
            client_encoding="UTF8",  # whatever the environment or the role's settings say
            connect_timeout=_CONNECT_TIMEOUT,
            target_session_attrs="read-write",  # of several servers in the URL
            prepare_threshold=None,
        )
    except psycopg.OperationalError as error:
        message = f"Cannot connect to {where}: {' '.join(str(error).split())}"
        raise MigrationFailed(message) from None
    except psycopg.ProgrammingError:  # an invalid URL; the message may quote the password
        message = f"Cannot connect to {where}"
        raise MigrationFailed(message) from None
    problem = encoding_problem(raw.info)
    if raw.info.server_version < MIN_SERVER_VERSION:
        problem = f"it is older than PostgreSQL {MIN_SERVER_VERSION // 10_000}"
    if problem:
        raw.close()
        message = f"Cannot use {where}: {problem}"
        raise MigrationFailed(message)
    return raw


def _current_user(connection: Connection) -> str:
    (user,) = first_column(connection, "SELECT current_user")
    return str(user)


def _grant_app_role(connection: Connection, role: str) -> None:
    """Allow a login to SET ROLE to the app role, unless it can already."""
    if not first_column(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        message = f"Cannot grant {APP_ROLE} to {role}: there is no role {role}"
        raise MigrationFailed(message)
    set_option = connection.info.server_version >= _SET_OPTION_SINCE
    privilege = "SET" if set_option else "MEMBER"
    query = "SELECT pg_has_role(%s, %s, %s)"
    if first_column(connection, query, role, APP_ROLE, privilege) != [True]:
        options = "WITH INHERIT FALSE, SET TRUE" if set_option else ""
        connection.execute(SQL(f"GRANT {APP_ROLE} TO {{}} {options}").format(Identifier(role)))


def _admin_sql(connection: Connection) -> str:
    """Return the SQL with which an administrator lets the connected role migrate."""
    lines = first_column(
        connection,
        f"""
        WITH roles (name) AS (VALUES ('{APP_ROLE}'), ('{PROBE_ROLE}'))
        SELECT format('CREATE ROLE %I NOLOGIN;', name) FROM roles
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
        UNION ALL
        SELECT format('GRANT %I TO %I WITH ADMIN OPTION;', name, current_user) FROM roles
        UNION ALL
        SELECT format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
        """,  # noqa: S608 (constants)
    )
    return "\n".join(lines)


def _reason(error: psycopg.Error, admin_sql: str) -> str:
    if isinstance(error, InsufficientPrivilege):
        return f"that role lacks the privileges. As an administrator, run there:\n\n{admin_sql}"
    if isinstance(error, LockNotAvailable):
        return "it is locked, perhaps by a backup or another migration: try again after that"
    logger.error("%s", error)
    return f"PostgreSQL failed with SQLSTATE {error.sqlstate}; its message is in the log"
