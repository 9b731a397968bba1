"""What statements, migrations and the check at start have to agree on."""

SCHEMA = "todo"
"""The PostgreSQL schema of every table: Better Auth's tables may be in the same database."""

PROBE_ROLE = "todo_probe"
"""The role that may see which task ids exist, and nothing else; `task_exists` runs as it."""

MIN_SERVER_VERSION = 150_000
"""The oldest supported PostgreSQL, as `server_version_num`."""

MICROSECONDS = "(EXTRACT(epoch FROM now()) * 1000000)::bigint"
"""The clock as a revision: above every revision of an earlier row of the same user."""
