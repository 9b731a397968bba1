"""Write the existence probe as Citus requires.

Over a distributed table, PL/pgSQL cannot `RETURN EXISTS (...)`. There, a login calls the probe
itself; the owner of the schema may grant that.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FUNCTION = """
    CREATE OR REPLACE FUNCTION todo.task_exists(task_id uuid) RETURNS boolean
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS '{}'
"""


def upgrade() -> None:
    as_probe(
        FUNCTION.format("""DECLARE hit boolean; BEGIN
            SELECT true INTO hit FROM todo.tasks WHERE tasks.id = task_id LIMIT 1;
            RETURN hit IS NOT NULL; END"""),
        "GRANT EXECUTE ON FUNCTION todo.task_exists(uuid) TO CURRENT_USER WITH GRANT OPTION",
    )


def downgrade() -> None:
    as_probe(
        "REVOKE EXECUTE ON FUNCTION todo.task_exists(uuid) FROM CURRENT_USER CASCADE",
        FUNCTION.format(
            "BEGIN RETURN EXISTS (SELECT FROM todo.tasks WHERE tasks.id = task_id); END"
        ),
    )


def as_probe(*commands: str) -> None:
    """Run commands with the privileges of `todo_probe`, which owns the function."""
    question = """
        SELECT pg_has_role('todo_probe', 'USAGE'),
            current_setting('server_version_num')::int >= 160000"""
    able, modern = op.get_bind().execute(sa.text(question)).one()
    if not able:
        option = "WITH INHERIT TRUE" if modern else ""
        op.execute(f"GRANT todo_probe TO CURRENT_USER {option}")
    for command in commands:
        op.execute(command)
    if not able:
        op.execute("REVOKE todo_probe FROM CURRENT_USER")
