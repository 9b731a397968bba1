"""Whether the database keeps users apart: asked once, when the service starts."""

from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from models.database import Database
from models.errors import UnsafeRole
from models.schema import OLDEST_VERSION, PROBE_ROLE, SCHEMA, SERVING_ROLE
from models.statements import Statement

FAULTS = Statement(
    f"""
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = '{SERVING_ROLE}'),
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
    SELECT 'PostgreSQL is older than {OLDEST_VERSION // 10_000}'
    WHERE current_setting('server_version_num')::int < {OLDEST_VERSION}
    UNION ALL SELECT rolname || ' ' || why FROM me JOIN above ON role = oid
    UNION ALL SELECT format('%s is a member of %s, which %s', rolname, role::regrole, why)
    FROM me JOIN above ON role <> oid AND NOT rolsuper AND pg_has_role(oid, role, 'MEMBER')
    UNION ALL SELECT format('row security is not enabled and forced on table %s', name)
    FROM (VALUES ('users'), ('tasks')) AS tables (name) WHERE NOT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = '{SCHEMA}' AND relname = name AND relrowsecurity AND relforcerowsecurity
    )
    """.encode(),  # noqa: S608 (our own names)
    (),
    writes=False,
)
"""Finds a sentence for everything that would let users see each other's tasks."""


async def check_serving_role(database: Database) -> None:
    """Ask through an open database whether it is safe to serve.

    Raises UnsafeRole if it isn't, Unavailable if there was no answer.
    """
    try:
        faults = await database.fetch("", FAULTS, {})
    except InsufficientPrivilege:
        message = (
            f"The database login may not become {SERVING_ROLE}. As an administrator or the "
            f"owner, run: GRANT {SERVING_ROLE} TO the login of DATABASE_URL;"
        )
        raise UnsafeRole(message) from None
    except InvalidParameterValue:
        message = f"The database has no role {SERVING_ROLE}: it has to be migrated first."
        raise UnsafeRole(message) from None
    if faults:
        sentences = "; ".join(sentence.decode() for (sentence,) in faults)
        message = f"The database would not keep users apart: {sentences}."
        raise UnsafeRole(message)
