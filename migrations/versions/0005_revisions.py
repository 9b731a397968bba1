"""Add a revision per user, deletions, idempotency keys, and three fields of a task.

`users.revision` is raised by every write of the user, in the same statement; `tasks.version`
becomes the revision of the last write of the task. Revisions start at the clock in
microseconds: above every version of before, and above those that an erased user had.

Nothing here rewrites a table: every default is evaluated once.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from models import task_json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MICROSECONDS = sa.text("(EXTRACT(epoch FROM now()) * 1000000)::bigint")
NOW = sa.text("now()")
MEMBERS = {
    "id": "uuid",
    "user_id": "text",
    "title": "text",
    "description": "text",
    "completed": "boolean",
    "priority": "text",
    "due_date": "timestamptz",
    "remind_at": "timestamptz",
    "tags": "text[]",
    "completed_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}


def upgrade() -> None:
    add_revisions()
    add_fields()
    create_deleted_tasks()
    create_idempotency_keys()
    secure_rows("deleted_tasks")
    secure_rows("idempotency_keys")


def downgrade() -> None:
    """Urgent tasks become high: the constraint of before does not know them."""
    op.drop_table("idempotency_keys", schema="todo")
    op.drop_table("deleted_tasks", schema="todo")
    op.execute("ALTER TABLE todo.tasks NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE todo.tasks SET priority = 'high' WHERE priority = 'urgent'")
    # Version 1 of the function does not know what version 2 has stored.
    op.execute("UPDATE todo.tasks SET representation_version = NULL")
    op.execute("ALTER TABLE todo.tasks FORCE ROW LEVEL SECURITY")
    replace_priorities("low", "medium", "high")
    op.execute(task_json.drop_function(2))
    for column in ("tags", "remind_at", "completed_at"):
        op.drop_column("tasks", column, schema="todo")
    op.execute("REVOKE UPDATE (revision, forgotten), DELETE ON todo.users FROM todo_serving")
    for column in ("revision", "forgotten"):
        op.drop_column("users", column, schema="todo")


def add_revisions() -> None:
    for name in ("revision", "forgotten"):
        column = sa.Column(name, sa.BigInteger(), server_default=MICROSECONDS, nullable=False)
        op.add_column("users", column, schema="todo")
    op.execute("GRANT UPDATE (revision, forgotten), DELETE ON todo.users TO todo_serving")


def add_fields() -> None:
    tags: sa.Column[list[str]] = sa.Column(
        "tags", ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
    )
    op.add_column("tasks", tags, schema="todo")
    for name in ("remind_at", "completed_at"):
        column = sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=True)
        op.add_column("tasks", column, schema="todo")
    op.execute(
        "ALTER TABLE todo.tasks ADD CONSTRAINT ck_tasks_tags CHECK (cardinality(tags) <= 20)"
    )
    replace_priorities("low", "medium", "high", "urgent")
    for command in task_json.create_function(2, MEMBERS):
        op.execute(command)


def replace_priorities(*names: str) -> None:
    values = ", ".join(f"'{name}'" for name in names)
    op.execute(f"""
        ALTER TABLE todo.tasks DROP CONSTRAINT ck_tasks_priority,
            ADD CONSTRAINT ck_tasks_priority CHECK (priority IN ({values}))
    """)


def create_deleted_tasks() -> None:
    op.create_table(
        "deleted_tasks",
        owner("deleted_tasks"),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "deleted_at", sa.TIMESTAMP(timezone=True), server_default=NOW, nullable=False
        ),
        sa.PrimaryKeyConstraint("user_id", "revision", "id", name=op.f("pk_deleted_tasks")),
        schema="todo",
    )


def create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        owner("idempotency_keys"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=NOW, nullable=False
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
        schema="todo",
    )
    op.create_index(
        "ix_idempotency_keys_created_at",
        "idempotency_keys",
        ["user_id", "created_at"],
        schema="todo",
    )


def owner(table: str) -> sa.Column[str]:
    reference = sa.ForeignKey(
        "todo.users.id", name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE"
    )
    return sa.Column("user_id", sa.Text(), reference, nullable=False)


def secure_rows(table: str) -> None:
    own = "user_id = current_setting('app.user_id', true)"  # null if unset, so no row's
    op.execute(f"ALTER TABLE todo.{table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE todo.{table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_{table} ON todo.{table} TO todo_serving"
        f" USING ({own}) WITH CHECK ({own})"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON todo.{table} TO todo_serving")
