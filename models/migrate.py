"""Bringing the schema up to date when the service starts; many processes may do so at once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from models.errors import MigrationFailed
from models.schema import OLDEST_VERSION, PROBE_ROLE, SERVING_ROLE
from models.whereabouts import login, whereabouts

_log = logging.getLogger(__name__)
_PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_CONNECT_LIMIT = 10  # seconds
_LOCK_LIMIT = 60  # seconds


def upgrade(owner_url: str, serving_url: str) -> None:
    """Run the migrations that are still to run, and let the login of `serving_url` serve.

    All of it happens in one transaction. Raises MigrationFailed.
    """
    config = Config(toml_file=_PYPROJECT)
    with connected(owner_url) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        serving = login(serving_url)
        for role in (connection.scalar(sa.text("SELECT current_user")), serving):
            if role is not None:
                _let_serve(connection, role)


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """Connect, in a transaction that is committed in the end. Raises MigrationFailed."""
    raw = _connect(url)
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: raw, poolclass=sa.NullPool
    )
    cure = ""
    try:
        with engine.begin() as connection:
            cure = _cure(connection)
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_LIMIT}s'"))
            yield connection
    except (sa.exc.DBAPIError, CommandError) as error:
        message = f"Cannot migrate {whereabouts(url)}: {_reason(error, cure)}"
        raise MigrationFailed(message) from error
    finally:
        raw.close()


def _connect(url: str) -> psycopg.Connection:
    where = whereabouts(url)
    try:
        raw = psycopg.connect(url, connect_timeout=_CONNECT_LIMIT, prepare_threshold=None)
    except psycopg.OperationalError as error:
        message = f"Cannot connect to {where}: {' '.join(str(error).split())}"
        raise MigrationFailed(message) from None
    except psycopg.ProgrammingError:  # a bad URL; the text may quote the password
        message = f"Cannot connect to {where}"
        raise MigrationFailed(message) from None
    if raw.info.server_version < OLDEST_VERSION:
        raw.close()
        message = f"Cannot use {where}: it is older than PostgreSQL {OLDEST_VERSION // 10_000}"
        raise MigrationFailed(message)
    return raw


def _let_serve(connection: sa.Connection, role: str) -> None:
    """Allow a role to become the serving role, unless it may already."""
    known = sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if not connection.scalar(known, {"role": role}):
        message = f"Cannot let {role} use the database: there is no role {role}"
        raise MigrationFailed(message)
    modern = (connection.dialect.server_version_info or ()) >= (16,)
    question = f"SELECT pg_has_role(:role, :serving, '{'SET' if modern else 'MEMBER'}')"
    if not connection.scalar(sa.text(question), {"role": role, "serving": SERVING_ROLE}):
        quoted = connection.dialect.identifier_preparer.quote_identifier(role)
        options = "WITH INHERIT FALSE, SET TRUE" if modern else ""
        connection.exec_driver_sql(f"GRANT {SERVING_ROLE} TO {quoted} {options}")


def _cure(connection: sa.Connection) -> str:
    """Write what an administrator can run so that the connected role may migrate."""
    lines = connection.scalars(
        sa.text(f"""
        WITH roles (name) AS (VALUES ('{SERVING_ROLE}'), ('{PROBE_ROLE}'))
        SELECT format('CREATE ROLE %I NOLOGIN;', name) FROM roles
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
        UNION ALL
        SELECT format('GRANT %I TO %I WITH ADMIN OPTION;', name, current_user) FROM roles
        UNION ALL
        SELECT format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
        """)  # noqa: S608 (our own names)
    )
    return "\n".join(lines)


def _reason(error: sa.exc.DBAPIError | CommandError, cure: str) -> str:
    original = getattr(error, "orig", None)
    if isinstance(original, InsufficientPrivilege):
        return f"that role may not do it. As an administrator, run there:\n\n{cure}"
    if isinstance(original, LockNotAvailable):
        return f"something else has locked it for {_LOCK_LIMIT} s, another migration perhaps"
    if isinstance(original, psycopg.Error):
        _log.error("%s", original)
        return f"PostgreSQL refused, with SQLSTATE {original.sqlstate}; the log has its words"
    return str(error)
