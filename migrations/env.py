"""Where Alembic's scripts run: in one transaction, one process at a time.

`todo-api migrate` passes its connection. Alembic's own command line, for the work on
migrations, takes MIGRATION_DATABASE_URL or DATABASE_URL from the environment.
"""

import os
from typing import Any

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateIndex

from models.migrate import connected
from models.schema import SCHEMA
from models.task import Task

# Any number will do, if nothing else in the same database locks it.
LOCK = 7_020_184


def ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Keep to our schema: others, Better Auth's perhaps, are none of our business."""
    return kind != "schema" or name == SCHEMA


def comparable(item: Any, _name: Any, kind: str, _reflected: Any, other: Any) -> bool:
    """Don't compare an index that has a collation: reflection doesn't tell it.

    That it is there, Alembic checks; that it is the same, a test does.
    """
    return kind != "index" or other is None or "COLLATE" not in str(CreateIndex(item))


def run(connection: Connection) -> None:
    """Wait for whoever migrates now, then run what is left to do."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    # Not IF NOT EXISTS alone: that asks for the right to create it even if it is there.
    there = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
    if not connection.execute(there, {"schema": SCHEMA}).scalar():
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    context.configure(
        connection=connection,
        target_metadata=Task.metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=ours,
        include_object=comparable,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = os.environ.get("MIGRATION_DATABASE_URL") or os.environ["DATABASE_URL"]
    with connected(url) as own:
        run(own)
