"""Each task's JSON is kept with it: written when the task changes, not when it is read.

Tasks are read far more often than they change, and writing a page of them took PostgreSQL
most of its time. A generated column cannot disagree with the others, whoever changes them.

Adding it writes the whole table anew, and nobody can use it meanwhile.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = r"""'\"YYYY-MM-DD"T"HH24:MI:SS.US"Z\"'"""  # RFC 3339
ARGUMENTS = {
    "id": "uuid",
    "user_id": "text",
    "title": "text",
    "description": "text",
    "completed": "boolean",
    "priority": "text",
    "due_date": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}


def upgrade() -> None:
    create_function()
    written = sa.Computed(f"todo.task_json({', '.join(ARGUMENTS)})", persisted=True)
    op.add_column(
        "tasks",
        sa.Column("representation", sa.Text(), written, nullable=False),
        schema="todo",
    )


def downgrade() -> None:
    op.drop_column("tasks", "representation", schema="todo")
    op.execute(f"DROP FUNCTION todo.task_json({', '.join(ARGUMENTS.values())})")


def create_function() -> None:
    """Write members side by side, which takes less time than making a row for row_to_json.

    Immutable in truth, though not all that it calls is by name: none of these formats
    depends on a setting. In PL/pgSQL, since SQL would be inlined only if they were.
    """
    parameters = ", ".join(f"{name} {kind}" for name, kind in ARGUMENTS.items())
    op.execute(f"""
        CREATE FUNCTION todo.task_json({parameters}) RETURNS text
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $$ BEGIN RETURN concat(
                '{{"id":"', id,
                '","user_id":', to_json(user_id),
                ',"title":', to_json(title),
                ',"description":', coalesce(to_json(description)::text, 'null'),
                ',"completed":', CASE WHEN completed THEN 'true' ELSE 'false' END,
                ',"priority":', coalesce(to_json(priority)::text, 'null'),
                ',"due_date":', coalesce({instant("due_date")}, 'null'),
                ',"created_at":', {instant("created_at")},
                ',"updated_at":', {instant("updated_at")},
                '}}'); END $$
    """)
    op.execute(
        f"GRANT EXECUTE ON FUNCTION todo.task_json({', '.join(ARGUMENTS.values())})"
        " TO todo_serving"
    )


def instant(column: str) -> str:
    return f"to_char({column} AT TIME ZONE 'UTC', {INSTANT})"
