"""Statements that read what has changed, or everything."""

from models.queries.parameters import reading
from models.queries.representation import REPRESENTATION

# `since` and `since_id` are the position before the page, `unless` the revision up to which
# there is nothing to do. A deletion up to `base` is of no interest to a client that started
# then; without `base`, it starts now.
_CHANGES = f"""
    WITH u AS MATERIALIZED (
        SELECT coalesce(max(revision), 0) AS revision, coalesce(max(forgotten), 0) AS forgotten
        FROM todo.users WHERE users.id = :user_id),
    change AS MATERIALIZED (
        SELECT * FROM (
            SELECT t.version AS revision, t.id, {REPRESENTATION} AS json
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
    SELECT {REPRESENTATION} FROM todo.tasks t
    WHERE t.user_id = :user_id ORDER BY t.created_at, t.id"""

CHANGES = reading("list_changes", _CHANGES)
EXPORT = reading("export_tasks", _EXPORT)
