"""Alembic's environment: migrations run in one transaction, one process at a time.

`todo-api migrate` passes its connection. Alembic's own command line, for writing migrations,
takes MIGRATION_DATABASE_URL or DATABASE_URL, as the service reads them.
"""

import os
from typing import Any

from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateIndex

from models.alembic_upgrade import sqlalchemy_connected
from models.schema import SCHEMA
from models.tables import Base
from settings import read_env_file
from settings.parsers import libpq_url


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Compare our schema only; others, perhaps Better Auth's, are not ours."""
    return kind != "schema" or name == SCHEMA


def include_object(item: Any, _name: Any, kind: str, _reflected: Any, other: Any) -> bool:
    """Do not compare an index with a collation: reflection does not return it.

    Alembic checks that it exists; a test checks that it is the same.
    """
    return kind != "index" or other is None or "COLLATE" not in str(CreateIndex(item))


def number_revision(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Give a new revision the next number, since a start finds the latest one by that.

    Alembic's own ids are random, and may begin with a letter.
    """
    head = ScriptDirectory.from_config(context.config).get_current_head()
    for directive in directives:
        directive.rev_id = f"{int(head or 0) + 1:04}"


def run(connection: Connection) -> None:
    """Run the migrations that are pending."""
    # IF NOT EXISTS alone requires the privilege to create it even if it exists.
    exists = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
    if not connection.execute(exists, {"schema": SCHEMA}).scalar():
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        compare_server_default=True,
        process_revision_directives=number_revision,
    )
    with context.begin_transaction():
        context.run_migrations()


def configured_url() -> str:
    """Return the URL from the environment or `.env`. Raises CommandError."""
    read_env_file()
    for name in ("MIGRATION_DATABASE_URL", "DATABASE_URL"):
        if text := os.environ.get(name, "").strip():
            try:
                return libpq_url(text)
            except ValueError as error:
                message = f"{name} {error}."
                raise CommandError(message) from None
    message = "Set MIGRATION_DATABASE_URL or DATABASE_URL."
    raise CommandError(message)


passed = context.config.attributes.get("connection")
if passed is not None:
    run(passed)
else:
    with sqlalchemy_connected(configured_url()) as connection:
        run(connection)
