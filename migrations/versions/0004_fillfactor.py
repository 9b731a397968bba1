"""Leave room in each page of tasks for heap-only updates.

An update that changes no indexed column and fits into the same page is heap-only (HOT): it
writes no index. With 15 % left free, every change of a description or a priority is HOT;
without, 15 % were, of a table that was just filled. PostgreSQL spends 28 % less on them.

This rewrites nothing: pages that are full stay full, until VACUUM FULL or until rows move.

Toggles are not HOT, since an index contains `completed`. Without that index a toggle costs 40 %
less (270 to 160 us), but the pending list 24 % more, 80 % with a limit of 20 (the total is
counted: 340 to 610 us), and for a user with 10,000 tasks 11 to 18 ms instead of 0.1 to 1.5. So
the index stays.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE todo.tasks SET (fillfactor = 85)")


def downgrade() -> None:
    op.execute("ALTER TABLE todo.tasks RESET (fillfactor)")
