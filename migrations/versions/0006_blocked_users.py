"""Add the blocked users.

A blocked user is refused, however valid their tokens. The row refers to none of `users`: a
user may be blocked before they write anything, and stays blocked when they are erased.

`todo_serving` sees the table in transactions of no user only, whose `app.user_id` is empty:
so no statement that runs for a user can disclose who is blocked.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blocked_users",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "blocked_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "char_length(user_id) BETWEEN 1 AND 255", name=op.f("ck_blocked_users_id_length")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_blocked_users")),
        schema="todo",
    )
    of_no_user = "current_setting('app.user_id', true) = ''"
    op.execute("ALTER TABLE todo.blocked_users ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE todo.blocked_users FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY of_no_user ON todo.blocked_users TO todo_serving"
        f" USING ({of_no_user}) WITH CHECK ({of_no_user})"
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON todo.blocked_users TO todo_serving")


def downgrade() -> None:
    op.drop_table("blocked_users", schema="todo")
