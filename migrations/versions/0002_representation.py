"""Store each task's JSON representation in a generated column.

Tasks are read far more often than they change, and serialising a page of them took most of
PostgreSQL's time. A generated column cannot get out of step with the columns it is
computed from, however they are changed.

Adding it rewrites the table under an ACCESS EXCLUSIVE lock.

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
    """Create the function that serialises a task.

    Concatenating the members is faster than building a row for row_to_json. The function is
    immutable in fact, although some of the functions it calls are only marked stable: none
    of these formats depends on a setting. It is written in PL/pgSQL because PostgreSQL would
    inline an SQL function only if those were marked immutable too.
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
