"""Create users and tasks with row-level security.

`todo_serving` is the app role, which runs every statement; row-level security restricts it
to the rows of the user in `app.user_id`. `todo_probe` can read every task id and nothing
else; `task_exists`, the only function that runs as it, tells whether an id exists. FORCE
applies the policies to the tables' owner as well: a migration that changes rows must lift
it first (ALTER TABLE … NO FORCE ROW LEVEL SECURITY) and restore it afterwards.

Roles belong to the cluster and may be used by other databases, so a downgrade keeps them.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def upgrade() -> None:
    create_roles()
    create_tables()
    secure_rows()
    create_probe()


def downgrade() -> None:
    op.execute("DROP FUNCTION todo.task_exists(uuid)")
    op.drop_table("tasks", schema="todo")
    op.drop_table("users", schema="todo")
    op.execute("REVOKE USAGE ON SCHEMA todo FROM todo_serving, todo_probe")


def create_roles() -> None:
    for role in ("todo_serving", "todo_probe"):
        # Another database of this cluster may be migrated concurrently.
        op.execute(f"""DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                CREATE ROLE {role} NOLOGIN;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$""")
    op.execute("GRANT USAGE ON SCHEMA todo TO todo_serving, todo_probe")


def create_tables() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=NOW, nullable=False
        ),
        sa.CheckConstraint(
            "char_length(id) BETWEEN 1 AND 255", name=op.f("ck_users_id_length")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        schema="todo",
    )
    op.create_table(
        "tasks",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=True),
        sa.Column("due_date", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=NOW, nullable=False
        ),
        sa.Column(
            "updated_at", sa.TIMESTAMP(timezone=True), server_default=NOW, nullable=False
        ),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "char_length(title) BETWEEN 1 AND 200 AND btrim(title) <> ''",
            name=op.f("ck_tasks_title"),
        ),
        sa.CheckConstraint(
            "char_length(description) <= 1000", name=op.f("ck_tasks_description")
        ),
        sa.CheckConstraint(
            "priority IN ('low', 'medium', 'high')", name=op.f("ck_tasks_priority")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["todo.users.id"], name=op.f("fk_tasks_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_tasks")),
        schema="todo",
    )
    # Only the existence probe looks up by id alone; the other indexes start with the owner.
    create_index("id", "id")
    create_index("created", "user_id, created_at DESC, id DESC")
    create_index("completed_created", "user_id, completed, created_at DESC, id DESC")
    create_index("title", 'user_id, (lower(title) COLLATE "C"), id')
    create_index("due_date", "user_id, due_date ASC NULLS LAST, id")


def secure_rows() -> None:
    for table, owner in (("users", "id"), ("tasks", "user_id")):
        own = f"{owner} = current_setting('app.user_id', true)"  # NULL if unset: matches no row
        op.execute(f"ALTER TABLE todo.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE todo.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_{table} ON todo.{table} TO todo_serving"
            f" USING ({own}) WITH CHECK ({own})"
        )
    op.execute("GRANT SELECT, INSERT ON todo.users TO todo_serving")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON todo.tasks TO todo_serving")


def create_probe() -> None:
    op.execute("GRANT SELECT (id) ON todo.tasks TO todo_probe")
    op.execute("CREATE POLICY every_id ON todo.tasks FOR SELECT TO todo_probe USING (true)")
    op.execute("""
        CREATE FUNCTION todo.task_exists(task_id uuid) RETURNS boolean
            LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'BEGIN RETURN EXISTS (SELECT FROM todo.tasks WHERE tasks.id = task_id); END'
    """)
    op.execute("REVOKE EXECUTE ON FUNCTION todo.task_exists(uuid) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION todo.task_exists(uuid) TO todo_serving")
    give_away("FUNCTION todo.task_exists(uuid)", "todo_probe")


def give_away(what: str, role: str) -> None:
    """Change the owner of an object.

    The current user must be able to SET ROLE to the new owner, and the new owner needs
    CREATE on the schema; both are granted only for the change.
    """
    modern = ask("SELECT current_setting('server_version_num')::int >= 160000")
    able = ask(f"SELECT pg_has_role('{role}', '{'SET' if modern else 'MEMBER'}')")
    if not able:
        options = "WITH INHERIT FALSE, SET TRUE" if modern else ""
        op.execute(f"GRANT {role} TO CURRENT_USER {options}")
    op.execute(f"GRANT CREATE ON SCHEMA todo TO {role}")
    op.execute(f"ALTER {what} OWNER TO {role}")
    op.execute(f"REVOKE CREATE ON SCHEMA todo FROM {role}")
    if not able:
        op.execute(f"REVOKE {role} FROM CURRENT_USER")


def create_index(name: str, columns: str) -> None:
    op.execute(f"CREATE INDEX ix_tasks_{name} ON todo.tasks ({columns})")


def ask(question: str) -> bool:
    return bool(op.get_bind().execute(sa.text(question)).scalar())
