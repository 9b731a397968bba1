"""Every statement, in SQL.

Each one filters by the owner itself, in addition to row-level security. Each write raises the
user's revision in the same statement, and stamps the task with it: the lock on the user's row
makes the order of revisions that of the commits. Locks are always taken in the order users,
idempotency_keys, tasks.

A statement that writes a task also writes its JSON, made by `todo.task_json_v<N>`, and that
N; one that reads takes the stored JSON, or makes it if the row has another N.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from models.postgres.statements import Statement, reading, writing
from openapi.types import SortKey, SortOrder, StatusFilter

REPRESENTATION_VERSION = 2
"""The N of `todo.task_json_v<N>`, the function that makes the JSON of a task."""

REPRESENTED: Final = (
    "id",
    "user_id",
    "title",
    "description",
    "completed",
    "priority",
    "due_date",
    "remind_at",
    "tags",
    "completed_at",
    "created_at",
    "updated_at",
)
"""The columns in the JSON of a task, in the order of the function's arguments."""

PARAMETERS: dict[str, Any] = {
    "user_id": sa.Text(),
    "task_id": sa.Uuid(),
    "versions": sa.ARRAY(sa.BigInteger),
    "new_title": sa.Text(),
    "new_description": sa.Text(),
    "new_completed": sa.Boolean(),
    "new_priority": sa.Text(),
    "new_due_date": sa.DateTime(timezone=True),
    "new_remind_at": sa.DateTime(timezone=True),
    "new_tags": sa.ARRAY(sa.Text),
    "set_description": sa.Boolean(),
    "set_priority": sa.Boolean(),
    "set_due_date": sa.Boolean(),
    "set_remind_at": sa.Boolean(),
    "key": sa.Text(),
    "fingerprint": sa.Text(),
    "key_retention": sa.Text(),
    "deletion_retention": sa.Text(),
    "known": sa.ARRAY(sa.BigInteger),
    "limit": sa.BigInteger(),
    "offset": sa.BigInteger(),
    "completed": sa.ARRAY(sa.Boolean),
    "priorities": sa.ARRAY(sa.Text),
    "tags": sa.ARRAY(sa.Text),
    "search": sa.Text(),
    "due_after": sa.DateTime(timezone=True),
    "due_before": sa.DateTime(timezone=True),
    "after_id": sa.Uuid(),
    "after_text": sa.Text(),
    "after_instant": sa.DateTime(timezone=True),
    "since": sa.BigInteger(),
    "since_id": sa.Uuid(),
    "unless": sa.BigInteger(),
    "base": sa.BigInteger(),
}
"""The type of every parameter; PostgreSQL is told it with a cast."""

SET_FLAGS = {
    name: f"set_{name}" for name in ("description", "priority", "due_date", "remind_at")
}
"""The parameter that says whether a nullable field is set, since null may be meant."""


def _json(row: Mapping[str, str]) -> str:
    """Return the expression for the JSON of a row, given one for each of its columns."""
    arguments = ", ".join(row[name] for name in REPRESENTED)
    return f"todo.task_json_v{REPRESENTATION_VERSION}({arguments})"


_STORED = {name: f"t.{name}" for name in REPRESENTED}
_REPRESENTATION = f"""CASE WHEN t.representation_version = {REPRESENTATION_VERSION}
    THEN t.representation ELSE {_json(_STORED)} END"""

_IS_TASK = "t.user_id = :user_id AND t.id = :task_id"
_VERSION_MATCHES = "(:versions IS NULL OR t.version = ANY (:versions))"

# ---------------------------------------------------------------- Single tasks

_GET = f"SELECT t.version, {_REPRESENTATION} FROM todo.tasks t WHERE {_IS_TASK}"

_EXISTS = "SELECT todo.task_exists(:task_id)"

_BUMP_IF_TASK = f"""
    bump AS (
        UPDATE todo.users SET revision = revision + 1
        WHERE users.id = :user_id AND EXISTS (
            SELECT FROM todo.tasks t WHERE {_IS_TASK} AND {_VERSION_MATCHES})
        RETURNING revision)"""

# The user's row is inserted with their first task.
_BUMP_OR_INSERT = """
    bump AS (
        INSERT INTO todo.users AS u (id) VALUES (:user_id)
        ON CONFLICT (id) DO UPDATE SET revision = u.revision + 1
        RETURNING revision)"""

_NEW_TASK = f"""
    new AS MATERIALIZED (
        SELECT made.*, {_json({name: f"made.{name}" for name in REPRESENTED})} AS representation
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
        WHERE oldest.created_at < now() - CAST(:key_retention AS interval)),
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
    new["representation"] = _json(_STORED | new)
    new["representation_version"] = str(REPRESENTATION_VERSION)
    new["version"] = "bump.revision"
    return f"""
        WITH {_BUMP_IF_TASK}
        UPDATE todo.tasks t SET {", ".join(f"{name} = {value}" for name, value in new.items())}
        FROM bump, (SELECT now() AS now) AS clock WHERE {_IS_TASK} AND {_VERSION_MATCHES}
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

# ------------------------------------------------------------------- Deletions


def _delete(task: str) -> str:
    """Return the statement that deletes tasks and remembers their ids.

    It also forgets up to two deletions that are older than the retention, and says so in
    `users.forgotten`, so nothing else has to.
    """
    return f"""
        WITH expired AS (
            SELECT oldest.revision, oldest.id FROM (
                SELECT d.revision, d.id, d.deleted_at FROM todo.deleted_tasks d
                WHERE d.user_id = :user_id ORDER BY d.revision, d.id LIMIT 2) oldest
            WHERE oldest.deleted_at < now() - CAST(:deletion_retention AS interval)),
        bump AS (
            UPDATE todo.users SET
                revision = revision + 1,
                forgotten = greatest(forgotten, (SELECT max(revision) FROM expired))
            WHERE users.id = :user_id AND EXISTS (SELECT FROM todo.tasks t WHERE {task})
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


_DELETE = _delete(f"{_IS_TASK} AND {_VERSION_MATCHES}")
_CLEAR_COMPLETED = _delete("t.user_id = :user_id AND t.completed")
_ERASE = "DELETE FROM todo.users WHERE users.id = :user_id RETURNING id"

# ----------------------------------------------------------------------- Lists

_STATUSES: dict[StatusFilter, str] = {
    "all": "true",
    "pending": "NOT t.completed",
    "completed": "t.completed",
}
_RANK = "array_position(ARRAY['low', 'medium', 'high', 'urgent'], {})"
_TITLE = 'lower({}) COLLATE "C"'
_KEYS: dict[SortKey, tuple[str, str, SortOrder]] = {
    "created": ("t.created_at", ":after_instant", "desc"),
    "title": (_TITLE.format("t.title"), _TITLE.format(":after_text"), "asc"),
    "due_date": ("t.due_date", ":after_instant", "asc"),
    "priority": (_RANK.format("t.priority"), _RANK.format(":after_text"), "desc"),
    "updated": ("t.updated_at", ":after_instant", "desc"),
}
"""For each sort: the key of a row, that of the row before the page, the default order."""

DEFAULT_ORDER: dict[SortKey, SortOrder] = {sort: key[2] for sort, key in _KEYS.items()}

_FILTER = """t.completed = ANY (:completed)
    AND (:priorities IS NULL OR coalesce(t.priority, 'none') = ANY (:priorities))
    AND (:tags IS NULL OR t.tags @> :tags)
    AND (:due_after IS NULL OR t.due_date >= :due_after)
    AND (:due_before IS NULL OR t.due_date < :due_before)
    AND (:search IS NULL OR strpos(lower(t.title), lower(:search)) > 0
        OR strpos(lower(t.description), lower(:search)) > 0)"""

_REVISION = """
    WITH u AS MATERIALIZED (
        SELECT coalesce((SELECT revision FROM todo.users WHERE users.id = :user_id), 0)
            AS revision)"""

# Inside the sub-selects: on the join, PostgreSQL would still read the whole list.
_UNLESS_KNOWN = "t.user_id = :user_id AND u.revision <> ALL (:known)"


def _page(condition: str, order: str, offset: str) -> str:
    """Return the sub-select of a page: an array of tasks, and its length."""
    # LIMIT keeps PostgreSQL from flattening the sub-select, and so the order of its rows.
    return f"""
        SELECT concat('[', string_agg(row.json, ','), ']') AS json, count(*) AS count FROM (
            SELECT {_REPRESENTATION} AS json FROM todo.tasks t
            WHERE {_UNLESS_KNOWN} AND {condition}
            ORDER BY {order} LIMIT :limit OFFSET {offset}) AS row"""


def _order_by(sort: SortKey, order: SortOrder) -> str:
    # Elsewhere NULLS LAST would say nothing, and keep PostgreSQL from using the index.
    nulls = " NULLS LAST" if sort in {"due_date", "priority"} else ""
    return f"{_KEYS[sort][0]} {order}{nulls}, t.id {order}"


def _list(status: StatusFilter, sort: SortKey) -> str:
    """Return the statement for a list without further filters, in the default order.

    A page that is neither full nor empty is the last, so its offset gives the total.
    Otherwise the tasks are counted: PostgreSQL runs that sub-select only if it is needed.
    """
    condition = _STATUSES[status]
    page = _page(condition, _order_by(sort, DEFAULT_ORDER[sort]), ":offset")
    return f"""
        {_REVISION}
        SELECT u.revision, page.json, page.count,
            CASE WHEN page.count > 0 AND page.count < :limit THEN :offset + page.count
            ELSE (SELECT count(*) FROM todo.tasks t WHERE {_UNLESS_KNOWN} AND {condition}) END,
            :offset
        FROM u LEFT JOIN LATERAL ({page}) page ON true"""


def _filtered_list(sort: SortKey, order: SortOrder) -> str:
    """Return the statement for a list with any filters, after the row of a cursor if any."""
    key, before, _ = _KEYS[sort]
    operator = ">" if order == "asc" else "<"
    after = f"""(:after_id IS NULL OR CASE WHEN {before} IS NULL
        THEN {key} IS NULL AND t.id {operator} :after_id
        ELSE {key} IS NULL OR ({key}, t.id) {operator} ({before}, :after_id) END)"""
    page = _page(f"{_FILTER} AND {after}", _order_by(sort, order), ":offset")
    return f"""
        {_REVISION}
        SELECT u.revision, page.json, page.count, matching.total,
            :offset + matching.total - matching.remaining
        FROM u LEFT JOIN LATERAL ({page}) page ON true
        LEFT JOIN LATERAL (
            SELECT count(*) AS total, count(*) FILTER (WHERE {after}) AS remaining
            FROM todo.tasks t WHERE {_UNLESS_KNOWN} AND {_FILTER}) matching ON true"""


# ------------------------------------------------------------- Synchronization

# `since` and `since_id` are the position before the page, `unless` the revision up to which
# there is nothing to do. A deletion up to `base` is of no interest to a client that started
# then; without `base`, it starts now.
_CHANGES = f"""
    WITH u AS MATERIALIZED (
        SELECT coalesce(max(revision), 0) AS revision, coalesce(max(forgotten), 0) AS forgotten
        FROM todo.users WHERE users.id = :user_id),
    change AS MATERIALIZED (
        SELECT * FROM (
            SELECT t.version AS revision, t.id, {_REPRESENTATION} AS json
            FROM todo.tasks t, u
            WHERE t.user_id = :user_id AND u.revision > :unless
                AND (t.version, t.id) > (:since, :since_id)
            UNION ALL
            SELECT d.revision, d.id, NULL
            FROM todo.deleted_tasks d, u
            WHERE d.user_id = :user_id AND u.revision > :unless
                AND (d.revision, d.id) > (:since, :since_id)
                AND d.revision > coalesce(:base, u.revision)) AS either
        ORDER BY revision, id LIMIT :limit + 1),
    page AS MATERIALIZED (SELECT * FROM change ORDER BY revision, id LIMIT :limit)
    SELECT u.revision, u.forgotten, (SELECT count(*) > :limit FROM change),
        concat('[', (SELECT string_agg(json, ',' ORDER BY revision, id) FROM page), ']'),
        concat('[', (
            SELECT string_agg(concat('"', id, '"'), ',' ORDER BY revision, id)
            FROM page WHERE json IS NULL), ']'),
        last.revision, last.id
    FROM u LEFT JOIN LATERAL (
        SELECT revision, id FROM page ORDER BY revision DESC, id DESC LIMIT 1) last ON true"""

_EXPORT = f"""
    SELECT {_REPRESENTATION} FROM todo.tasks t
    WHERE t.user_id = :user_id ORDER BY t.created_at, t.id"""


def _text(sql: str) -> sa.TextClause:
    clause = sa.text(sql)
    names = clause._bindparams  # noqa: SLF001 (the only way to know them)
    return clause.bindparams(*(sa.bindparam(name, type_=PARAMETERS[name]) for name in names))


GET = reading("get_task", _text(_GET))
EXISTS = reading("task_exists", _text(_EXISTS))
CREATE = writing("create_task", _text(_CREATE))
CREATE_ONCE = writing("create_task_once", _text(_CREATE_ONCE))
UPDATE = writing("update_task", _text(_UPDATE))
COMPLETE = writing("complete_task", _text(_COMPLETE))
DELETE = writing("delete_task", _text(_DELETE))
CLEAR_COMPLETED = writing("clear_completed_tasks", _text(_CLEAR_COMPLETED))
ERASE = writing("erase_user", _text(_ERASE))
CHANGES = reading("list_changes", _text(_CHANGES))
EXPORT = reading("export_tasks", _text(_EXPORT))
LIST: dict[tuple[StatusFilter, SortKey], Statement] = {
    (status, sort): reading(f"list_{status}_by_{sort}", _text(_list(status, sort)))
    for status in _STATUSES
    for sort in ("created", "title", "due_date")
}
FILTERED_LIST: dict[tuple[SortKey, SortOrder], Statement] = {
    (sort, order): reading(
        f"list_filtered_by_{sort}_{order}", _text(_filtered_list(sort, order))
    )
    for sort in _KEYS
    for order in ("asc", "desc")
}

PREPARED: tuple[Statement, ...] = (
    *LIST.values(),
    *FILTERED_LIST.values(),
    *(GET, EXISTS, CREATE, CREATE_ONCE, UPDATE, COMPLETE, DELETE, CLEAR_COMPLETED),
    *(CHANGES, ERASE, EXPORT),
)
"""Every statement here: each is prepared once per connection, not parsed once per request."""
