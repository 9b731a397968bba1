"""Statements that delete tasks, and remember that they did."""

from models.queries.parameters import writing
from models.queries.tasks import IS_TASK, VERSION_MATCHES


def _delete(task: str, *, exist: str) -> str:
    """Return the statement that deletes tasks, if they exist, and remembers their ids.

    It also forgets up to two deletions that are older than the retention, and says so in
    `users.forgotten`, so nothing else has to.
    """
    return f"""
        WITH expired AS (
            SELECT oldest.revision, oldest.id FROM (
                SELECT d.revision, d.id, d.deleted_at FROM todo.deleted_tasks d
                WHERE d.user_id = :user_id ORDER BY d.revision, d.id LIMIT 2) oldest
            WHERE oldest.deleted_at < now() - :deletion_retention),
        bump AS (
            UPDATE todo.users SET
                revision = revision + 1,
                forgotten = greatest(forgotten, (SELECT max(revision) FROM expired))
            WHERE users.id = :user_id AND {exist}
            RETURNING revision),
        cleanup AS (
            DELETE FROM todo.deleted_tasks d USING expired, bump
            WHERE d.user_id = :user_id
                AND d.revision = expired.revision AND d.id = expired.id),
        deleted AS (
            DELETE FROM todo.tasks t USING bump WHERE {task} RETURNING t.id, bump.revision),
        remembered AS (
            INSERT INTO todo.deleted_tasks (user_id, revision, id)
            SELECT :user_id, deleted.revision, deleted.id FROM deleted)
        SELECT count(*) FROM deleted HAVING count(*) > 0"""


_TASK = f"{IS_TASK} AND {VERSION_MATCHES}"
_COMPLETED = "t.user_id = :user_id AND t.completed"

_DELETE = _delete(_TASK, exist=f"EXISTS (SELECT FROM todo.tasks t WHERE {_TASK})")
# For EXISTS, PostgreSQL might look for the first completed task in the whole table.
_CLEAR_COMPLETED = _delete(
    _COMPLETED, exist=f"(SELECT count(*) FROM todo.tasks t WHERE {_COMPLETED}) > 0"
)
_ERASE = "DELETE FROM todo.users WHERE users.id = :user_id RETURNING id"

DELETE = writing("delete_task", _DELETE)
CLEAR_COMPLETED = writing("clear_completed_tasks", _CLEAR_COMPLETED)
ERASE = writing("erase_user", _ERASE)
