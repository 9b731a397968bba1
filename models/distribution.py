"""Distributing the tables over the workers of a Citus cluster."""

from collections.abc import Iterable

from psycopg.sql import SQL, Identifier
from sqlalchemy import Table

from models.errors import MigrationFailed
from models.migrate import Connection, first_column
from models.postgres.identity import APP_ROLE
from models.schema import PROBE_ROLE, SCHEMA
from models.tables import Base

REFERENCE_TABLES = frozenset({"blocked_users"})
"""Tables that are read as a whole, on any node: each node has a copy of its own."""

_DISTRIBUTED = f"""
    SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
    WHERE relnamespace = '{SCHEMA}'::regnamespace"""  # noqa: S608 (a constant)


def distribute_tables(connection: Connection, logins: Iterable[str]) -> None:
    """Distribute the tables by the user id, or copy them, and grant what that requires.

    Equal ids are on the same worker in all tables, so each statement concerns one worker.
    Changes nothing that is distributed already. Raises MigrationFailed.
    """
    if first_column(connection, "SELECT to_regclass('pg_dist_partition')") == [None]:
        message = "DATABASE_KIND is citus, but the database does not have the extension citus."
        raise MigrationFailed(message)
    _grant(connection, logins)
    distributed = set(first_column(connection, _DISTRIBUTED))
    # The others are placed where `users` is, whether or not they refer to it.
    for table in sorted(Base.metadata.sorted_tables, key=lambda table: table.name != "users"):
        if table.name not in distributed:
            _distribute(connection, table)


def _distribute(connection: Connection, table: Table) -> None:
    if first_column(connection, "SELECT pg_relation_size(%s)", table.fullname) != [0]:
        # Its owner could not copy them: row security is forced.
        message = f"The table {table.fullname} has rows: a superuser has to distribute it."
        raise MigrationFailed(message)
    if table.name in REFERENCE_TABLES:
        connection.execute(f"SELECT create_reference_table('{table.fullname}')")
        return
    column, *_ = table.primary_key.columns
    place = "default" if table.name == "users" else f"{SCHEMA}.users"
    connection.execute(
        f"SELECT create_distributed_table('{table.fullname}', '{column.name}',"
        f" colocate_with => '{place}')"
    )


def _grant(connection: Connection, logins: Iterable[str]) -> None:
    """Let workers be asked as the roles of the service, and `logins` call the probe."""
    unable = (
        f"SELECT rolname FROM pg_roles WHERE rolname IN ('{APP_ROLE}', '{PROBE_ROLE}')"  # noqa: S608
        " AND NOT rolcanlogin"
    )
    for role in first_column(connection, unable):
        connection.execute(f"ALTER ROLE {role} LOGIN")
    for login in logins:
        for grant in (f"USAGE ON SCHEMA {SCHEMA}", f"EXECUTE ON FUNCTION {SCHEMA}.task_exists"):
            connection.execute(SQL(f"GRANT {grant} TO {{}}").format(Identifier(login)))
