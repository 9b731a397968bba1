"""Let statements write each task's JSON, so that a new field rewrites no table.

A stored generated column has one expression for all rows: to change it, PostgreSQL rewrites
the table under an exclusive lock. An ordinary column beside the version of the function that
wrote it can hold both old and new forms: a row of another version, or of none, has its JSON
made when it is read, until the next statement changes it.

Nothing here rewrites the table. Existing rows get version 1 from the catalogue. New rows have
no default: whatever inserts without knowing the column leaves null, which reads correctly.
What updates without knowing it leaves JSON that no longer fits: services of before 0003 must
have stopped. Later ones may overlap, since they store which function they used.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = (
    "id, user_id, title, description, completed, priority, due_date, created_at, updated_at"
)
TYPES = "uuid, text, text, text, boolean, text, timestamptz, timestamptz, timestamptz"


def upgrade() -> None:
    op.execute(f"ALTER FUNCTION todo.task_json({TYPES}) RENAME TO task_json_v1")
    op.execute("""
        ALTER TABLE todo.tasks
            ALTER COLUMN representation DROP EXPRESSION,
            ALTER COLUMN representation DROP NOT NULL,
            ADD COLUMN representation_version smallint DEFAULT 1
    """)
    op.execute("ALTER TABLE todo.tasks ALTER COLUMN representation_version DROP DEFAULT")


def downgrade() -> None:
    """Rewrite the table: there is no other way to a generated column."""
    op.execute("""
        ALTER TABLE todo.tasks DROP COLUMN representation, DROP COLUMN representation_version
    """)
    op.execute(f"ALTER FUNCTION todo.task_json_v1({TYPES}) RENAME TO task_json")
    op.execute(f"""
        ALTER TABLE todo.tasks ADD COLUMN representation text NOT NULL
            GENERATED ALWAYS AS (todo.task_json({COLUMNS})) STORED
    """)
