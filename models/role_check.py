"""The check, at start, that the database isolates users: the app role, and the login."""

from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from models.errors import UnsafeRole
from models.postgres.database import NO_USER, Database
from models.postgres.identity import APP_ROLE
from models.postgres.statements import Statement
from models.schema import MIN_SERVER_VERSION, PROBE_ROLE, SCHEMA

ROLE_PROBLEMS = Statement(
    f"""
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = '{APP_ROLE}'),
    owned (owner, thing) AS (
        SELECT nspowner, 'schema ' || nspname FROM pg_namespace WHERE nspname = '{SCHEMA}'
        UNION ALL SELECT relowner, 'table ' || relname
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = '{SCHEMA}' AND relkind IN ('r', 'p')
        UNION ALL SELECT proowner, 'function ' || proname
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname = '{SCHEMA}'
    ),
    above (role, why) AS (
        SELECT oid, 'is a superuser' FROM pg_roles WHERE rolsuper
        UNION ALL SELECT oid, 'bypasses row security' FROM pg_roles WHERE rolbypassrls
        UNION ALL SELECT oid, 'sees every id' FROM pg_roles WHERE rolname = '{PROBE_ROLE}'
        UNION ALL SELECT owner, 'owns ' || thing FROM owned
    )
    SELECT 'PostgreSQL is older than {MIN_SERVER_VERSION // 10_000}'
    WHERE current_setting('server_version_num')::int < {MIN_SERVER_VERSION}
    UNION ALL SELECT rolname || ' ' || why FROM me JOIN above ON role = oid
    UNION ALL SELECT format('%s is a member of %s, which %s', rolname, role::regrole, why)
    FROM me JOIN above ON role <> oid AND NOT rolsuper AND pg_has_role(oid, role, 'MEMBER')
    UNION ALL SELECT format('row security is not enabled and forced on table %s', name)
    FROM (VALUES ('users'), ('tasks'), ('deleted_tasks'), ('idempotency_keys'),
        ('blocked_users')) AS tables (name) WHERE NOT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = '{SCHEMA}' AND relname = name AND relrowsecurity AND relforcerowsecurity
    )
    """.encode(),  # noqa: S608 (constants)
    (),
    writes=False,
    name="check_app_role",
)
"""Selects a phrase for everything that would let users see each other's tasks."""

LOGIN_PROBLEM = Statement(
    b"""
    SELECT login.rolname,
        CASE WHEN role.oid <> login.oid
            THEN format('is a member of %s, which ', role.rolname) ELSE '' END
        || CASE WHEN role.rolsuper THEN 'is a superuser' ELSE 'bypasses row security' END
    FROM pg_roles login JOIN pg_roles role ON pg_has_role(login.oid, role.oid, 'MEMBER')
    WHERE login.rolname = session_user AND (role.rolsuper OR role.rolbypassrls)
    ORDER BY role.oid <> login.oid LIMIT 1
    """,
    (),
    writes=False,
    name="check_login",
)
"""Selects the login, and why row security would not restrict it; nothing if it would."""

_LOGIN_ADVICE = f"""\
Create a role for the service; as an administrator, run there:

CREATE ROLE todo_login LOGIN NOINHERIT PASSWORD '...';

Then set DATABASE_URL to connect as that role, and MIGRATION_DATABASE_URL, unless it is set,
to the URL that DATABASE_URL has now. The next start grants {APP_ROLE} to the role. For a
database that has nothing to protect, set DATABASE_ALLOW_PRIVILEGED_LOGIN=true instead."""


async def check_app_role(database: Database) -> None:
    """Check an open database.

    Raises UnsafeRole if it would not isolate users, Unavailable if it does not respond.
    """
    try:
        problems = await database.fetch(NO_USER, ROLE_PROBLEMS, {})
    except InsufficientPrivilege:
        message = (
            f"The database login cannot SET ROLE {APP_ROLE}. As an administrator or the "
            f"owner, run: GRANT {APP_ROLE} TO the login of DATABASE_URL;"
        )
        raise UnsafeRole(message) from None
    except InvalidParameterValue:
        message = f"The database has no role {APP_ROLE}: it has to be migrated first."
        raise UnsafeRole(message) from None
    if problems:
        phrases = "; ".join(phrase.decode() for (phrase,) in problems)
        message = f"The database would not isolate users: {phrases}."
        raise UnsafeRole(message)


async def check_login(database: Database) -> None:
    """Check the role that an open database has logged in as.

    Owning the tables does no harm, since row security is forced. Raises UnsafeRole if only
    SET ROLE would stand between a statement and everybody's rows.
    """
    rows = await database.fetch(NO_USER, LOGIN_PROBLEM, {})
    if rows:
        ((login, problem),) = rows
        message = (
            f"DATABASE_URL logs in as {login.decode()}, which {problem.decode()}: row security "
            "does not restrict that role, so a mistake in the service could show a user the "
            f"tasks of another. {_LOGIN_ADVICE}"
        )
        raise UnsafeRole(message)
