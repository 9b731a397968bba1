"""Statements about one task."""

from models.queries.parameters import SET_FLAGS, reading, writing
from models.queries.representation import (
    REPRESENTATION,
    REPRESENTATION_VERSION,
    REPRESENTED,
    STORED,
    json_of,
)

IS_TASK = "t.user_id = :user_id AND t.id = :task_id"
VERSION_MATCHES = "(:versions IS NULL OR t.version = ANY (:versions))"

_GET = f"SELECT t.version, {REPRESENTATION} FROM todo.tasks t WHERE {IS_TASK}"

_EXISTS = "SELECT todo.task_exists(:task_id)"

_BUMP_IF_TASK = f"""
    bump AS (
        UPDATE todo.users SET revision = revision + 1
        WHERE users.id = :user_id AND EXISTS (
            SELECT FROM todo.tasks t WHERE {IS_TASK} AND {VERSION_MATCHES})
        RETURNING revision)"""

# The user's row is inserted with their first task.
_BUMP_OR_INSERT = """
    bump AS (
        INSERT INTO todo.users AS u (id) VALUES (:user_id)
        ON CONFLICT (id) DO UPDATE SET revision = u.revision + 1
        RETURNING revision)"""

_NEW_TASK = f"""
    new AS MATERIALIZED (
        SELECT made.*,
            {json_of({name: f"made.{name}" for name in REPRESENTED})} AS representation
        FROM (
            SELECT
                :user_id AS user_id,
                gen_random_uuid() AS id,
                :new_title AS title,
                :new_description AS description,
                coalesce(:new_completed, false) AS completed,
                :new_priority AS priority,
                :new_due_date AS due_date,
                :new_remind_at AS remind_at,
                coalesce(:new_tags, '{{}}') AS tags,
                CASE WHEN :new_completed THEN now() END AS completed_at,
                now() AS created_at,
                now() AS updated_at,
                bump.revision AS version
            FROM bump OFFSET 0) AS made)"""

_INSERT_TASK = f"""
    INSERT INTO todo.tasks (
        {", ".join(REPRESENTED)}, version, representation, representation_version)
    SELECT {", ".join(f"new.{name}" for name in REPRESENTED)}, new.version, new.representation,
        {REPRESENTATION_VERSION}
    FROM new"""

_CREATE = f"""
    WITH {_BUMP_OR_INSERT}, {_NEW_TASK}
    {_INSERT_TASK}
    RETURNING version, representation, id"""

# A conflict waits for the other transaction, and DO UPDATE returns what it has committed; a
# SELECT would not see it. The oldest keys are deleted on the way, so nothing else has to.
_CREATE_ONCE = f"""
    WITH {_BUMP_OR_INSERT}, {_NEW_TASK},
    expired AS (
        SELECT oldest.key FROM (
            SELECT k.key, k.created_at FROM todo.idempotency_keys k
            WHERE k.user_id = :user_id AND k.key <> :key ORDER BY k.created_at LIMIT 2) oldest
        WHERE oldest.created_at < now() - :key_retention),
    cleanup AS (
        DELETE FROM todo.idempotency_keys k USING expired
        WHERE k.user_id = :user_id AND k.key = expired.key),
    stored AS (
        INSERT INTO todo.idempotency_keys AS k (
            user_id, key, fingerprint, task_id, version, response)
        SELECT :user_id, :key, :fingerprint, new.id, new.version, new.representation FROM new
        ON CONFLICT (user_id, key) DO UPDATE SET key = k.key
        RETURNING k.version, k.response, k.task_id, k.fingerprint),
    created AS (
        {_INSERT_TASK} WHERE new.id = (SELECT task_id FROM stored))
    SELECT stored.version, stored.response, stored.task_id, stored.task_id <> new.id,
        stored.fingerprint = :fingerprint
    FROM stored, new"""

_COMPLETED_AT = """CASE WHEN {completed} THEN
    CASE WHEN t.completed THEN t.completed_at ELSE clock.now END END"""


def _update(**new: str) -> str:
    """Return the statement that sets columns of a task if its version matches.

    The time comes from a sub-select: Citus accepts no now() in a CASE of an UPDATE.
    """
    new["completed_at"] = _COMPLETED_AT.format(completed=new["completed"])
    # Never back in time: a later change may come from an earlier transaction.
    new["updated_at"] = "greatest(clock.now, t.updated_at)"
    new["representation"] = json_of(STORED | new)
    new["representation_version"] = str(REPRESENTATION_VERSION)
    new["version"] = "bump.revision"
    return f"""
        WITH {_BUMP_IF_TASK}
        UPDATE todo.tasks t SET {", ".join(f"{name} = {value}" for name, value in new.items())}
        FROM bump, (SELECT now() AS now) AS clock WHERE {IS_TASK} AND {VERSION_MATCHES}
        RETURNING t.version, t.representation"""


def _if_set(name: str) -> str:
    return f"CASE WHEN :{SET_FLAGS[name]} THEN :new_{name} ELSE t.{name} END"


_UPDATE = _update(
    title="coalesce(:new_title, t.title)",
    description=_if_set("description"),
    completed="coalesce(:new_completed, t.completed)",
    priority=_if_set("priority"),
    due_date=_if_set("due_date"),
    remind_at=_if_set("remind_at"),
    tags="coalesce(:new_tags, t.tags)",
)
_COMPLETE = _update(completed="coalesce(:new_completed, NOT t.completed)")

GET = reading("get_task", _GET)
EXISTS = reading("task_exists", _EXISTS)
CREATE = writing("create_task", _CREATE)
CREATE_ONCE = writing("create_task_once", _CREATE_ONCE)
UPDATE = writing("update_task", _UPDATE)
COMPLETE = writing("complete_task", _COMPLETE)
