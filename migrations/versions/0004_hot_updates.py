"""Placeholder.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX todo.ix_tasks_completed_created")
    op.execute("ALTER TABLE todo.tasks SET (fillfactor = 85)")


def downgrade() -> None:
    op.execute("ALTER TABLE todo.tasks RESET (fillfactor)")
    op.execute(
        "CREATE INDEX ix_tasks_completed_created ON todo.tasks"
        " (user_id, completed, created_at DESC, id DESC)"
    )
