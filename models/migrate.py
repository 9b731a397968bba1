"""Migrating the schema at start; several processes may do so at the same time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from models.errors import MigrationFailed
from models.postgres.dsn import describe_dsn, dsn_user
from models.postgres.identity import APP_ROLE
from models.schema import MIN_SERVER_VERSION, PROBE_ROLE, SCHEMA

logger = logging.getLogger("todo.migrations")
# Beside this package in the repository, and where it is installed, which has no pyproject.toml.
_SCRIPTS = Path(__file__).parents[1] / "migrations"
_CONNECT_TIMEOUT = 10  # seconds
_LOCK_ID = 7_020_184  # any number that nothing else in the same database locks
_LOCK_TIMEOUT = 60  # seconds


def upgrade(owner_url: str, app_url: str, *, distribute: bool = False) -> None:
    """Run pending migrations, and grant the app role to the login of `app_url`.

    Both happen in one transaction. In another one, if that is wanted, distribute the tables
    over the workers of a Citus cluster. Raises MigrationFailed.
    """
    try:
        app_login = dsn_user(app_url)
    except psycopg.ProgrammingError:  # the message may quote the password
        message = f"Cannot connect to {describe_dsn(app_url)}"
        raise MigrationFailed(message) from None
    with connected(owner_url) as connection:
        if _revisions(connection) != {head_revision()}:
            _run_migrations(connection, describe_dsn(owner_url))
        owner = connection.scalar(sa.text("SELECT current_user"))
        logins = [login for login in (owner, app_login) if login is not None]
        for login in logins:
            _grant_app_role(connection, login)
    if distribute:
        from models.distribution import distribute_tables  # noqa: PLC0415 (see _run_migrations)

        with connected(owner_url) as connection:
            distribute_tables(connection, logins)


def head_revision() -> str:
    """Return the latest revision of the migrations in this version of the service."""
    return max(script.name for script in _SCRIPTS.glob("versions/[0-9]*.py")).partition("_")[0]


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """Connect, and commit one transaction on exit. Raises MigrationFailed.

    Waits for one that another process has begun in the same database.
    """
    raw = _connect(url)
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: raw, poolclass=sa.NullPool
    )
    admin_sql = ""
    try:
        with engine.begin() as connection:
            admin_sql = _admin_sql(connection)
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}s'"))
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK_ID})"))
            yield connection
    except sa.exc.DBAPIError as error:
        message = f"Cannot migrate {describe_dsn(url)}: {_reason(error, admin_sql)}"
        raise MigrationFailed(message) from error
    finally:
        raw.close()


@contextmanager
def every_user_visible(connection: sa.Connection) -> Iterator[None]:
    """Let the owner see all rows of `todo.users`, which nobody else can read meanwhile.

    Row-level security is forced on the owner, who may suspend that.
    """
    connection.execute(sa.text("ALTER TABLE todo.users NO FORCE ROW LEVEL SECURITY"))
    yield
    connection.execute(sa.text("ALTER TABLE todo.users FORCE ROW LEVEL SECURITY"))


def _revisions(connection: sa.Connection) -> set[str]:
    """Return the revisions of the database as Alembic has stored them; none if it is new."""
    table = f"{SCHEMA}.alembic_version"
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": table}) is None:
        return set()
    return set(connection.scalars(sa.text(f"SELECT version_num FROM {table}")))  # noqa: S608


def _run_migrations(connection: sa.Connection, where: str) -> None:
    """Run pending migrations. Raises MigrationFailed.

    Alembic, the tables and SQLAlchemy's ORM are imported only here: most starts have nothing
    to migrate, and these take a quarter of the time of a start, and 13 MiB from then on.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = f"Cannot migrate {where}: {error}"
        raise MigrationFailed(message) from error


def _connect(url: str) -> psycopg.Connection:
    where = describe_dsn(url)
    try:
        raw = psycopg.connect(
            url,
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
    if raw.info.server_version < MIN_SERVER_VERSION:
        raw.close()
        message = (
            f"Cannot use {where}: it is older than PostgreSQL {MIN_SERVER_VERSION // 10_000}"
        )
        raise MigrationFailed(message)
    return raw


def _grant_app_role(connection: sa.Connection, role: str) -> None:
    """Allow a login to SET ROLE to the app role, unless it can already."""
    known = sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if not connection.scalar(known, {"role": role}):
        message = f"Cannot grant {APP_ROLE} to {role}: there is no role {role}"
        raise MigrationFailed(message)
    set_option = (connection.dialect.server_version_info or ()) >= (16,)
    query = f"SELECT pg_has_role(:role, :app_role, '{'SET' if set_option else 'MEMBER'}')"
    if not connection.scalar(sa.text(query), {"role": role, "app_role": APP_ROLE}):
        quoted = connection.dialect.identifier_preparer.quote_identifier(role)
        options = "WITH INHERIT FALSE, SET TRUE" if set_option else ""
        connection.exec_driver_sql(f"GRANT {APP_ROLE} TO {quoted} {options}")


def _admin_sql(connection: sa.Connection) -> str:
    """Return the SQL with which an administrator lets the connected role migrate."""
    lines = connection.scalars(
        sa.text(f"""
        WITH roles (name) AS (VALUES ('{APP_ROLE}'), ('{PROBE_ROLE}'))
        SELECT format('CREATE ROLE %I NOLOGIN;', name) FROM roles
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
        UNION ALL
        SELECT format('GRANT %I TO %I WITH ADMIN OPTION;', name, current_user) FROM roles
        UNION ALL
        SELECT format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
        """)  # noqa: S608 (constants)
    )
    return "\n".join(lines)


def _reason(error: sa.exc.DBAPIError, admin_sql: str) -> str:
    original = error.orig
    if isinstance(original, InsufficientPrivilege):
        return f"that role lacks the privileges. As an administrator, run there:\n\n{admin_sql}"
    if isinstance(original, LockNotAvailable):
        return f"it has been locked for {_LOCK_TIMEOUT} s, perhaps by another migration"
    if isinstance(original, psycopg.Error):
        logger.error("%s", original)
        return f"PostgreSQL failed with SQLSTATE {original.sqlstate}; its message is in the log"
    return str(error)
