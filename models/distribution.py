"""Distributing the tables over the workers of a Citus cluster."""

from collections.abc import Iterable

import sqlalchemy as sa

from models.errors import MigrationFailed
from models.postgres.identity import APP_ROLE
from models.schema import PROBE_ROLE, SCHEMA
from models.tables import Base

REFERENCE_TABLES = frozenset({"blocked_users"})
"""Tables that are read as a whole, on any node: each node has a copy of its own."""

_DISTRIBUTED = f"""
    SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
    WHERE relnamespace = '{SCHEMA}'::regnamespace"""  # noqa: S608 (a constant)


def distribute_tables(connection: sa.Connection, logins: Iterable[str]) -> None:
    """Distribute the tables by the user id, or copy them, and grant what that requires.

    Equal ids are on the same worker in all tables, so each statement concerns one worker.
    Changes nothing that is distributed already. Raises MigrationFailed.
    """
    if connection.scalar(sa.text("SELECT to_regclass('pg_dist_partition')")) is None:
        message = "DATABASE_KIND is citus, but the database does not have the extension citus."
        raise MigrationFailed(message)
    _grant(connection, logins)
    distributed = set(connection.scalars(sa.text(_DISTRIBUTED)))
    # The others are placed where `users` is, whether or not they refer to it.
    for table in sorted(Base.metadata.sorted_tables, key=lambda table: table.name != "users"):
        if table.name not in distributed:
            _distribute(connection, table)


def _distribute(connection: sa.Connection, table: sa.Table) -> None:
    if connection.scalar(sa.select(sa.func.pg_relation_size(table.fullname))):
        # Its owner could not copy them: row security is forced.
        message = f"The table {table.fullname} has rows: a superuser has to distribute it."
        raise MigrationFailed(message)
    if table.name in REFERENCE_TABLES:
        connection.exec_driver_sql(f"SELECT create_reference_table('{table.fullname}')")
        return
    column, *_ = table.primary_key.columns
    place = "default" if table.name == "users" else f"{SCHEMA}.users"
    connection.exec_driver_sql(
        f"SELECT create_distributed_table('{table.fullname}', '{column.name}',"
        f" colocate_with => '{place}')"
    )


def _grant(connection: sa.Connection, logins: Iterable[str]) -> None:
    """Let workers be asked as the roles of the service, and `logins` call the probe."""
    unable = sa.text(
        f"SELECT rolname FROM pg_roles WHERE rolname IN ('{APP_ROLE}', '{PROBE_ROLE}')"  # noqa: S608
        " AND NOT rolcanlogin"
    )
    for role in list(connection.scalars(unable)):
        connection.exec_driver_sql(f"ALTER ROLE {role} LOGIN")
    for login in logins:
        quoted = connection.dialect.identifier_preparer.quote_identifier(login)
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {quoted}")
        connection.exec_driver_sql(
            f"GRANT EXECUTE ON FUNCTION {SCHEMA}.task_exists(uuid) TO {quoted}"
        )
