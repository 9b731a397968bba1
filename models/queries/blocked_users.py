"""Statements about blocked users, who are visible to a transaction of no user only."""

from models.queries.parameters import reading, writing

LIST_BLOCKED_USERS = reading(
    "list_blocked_users",
    "SELECT coalesce(json_agg(user_id ORDER BY user_id), '[]') FROM todo.blocked_users",
)
BLOCK_USER = writing(
    "block_user",
    "INSERT INTO todo.blocked_users (user_id) VALUES (:blocked)"
    " ON CONFLICT DO NOTHING RETURNING user_id",
)
UNBLOCK_USER = writing(
    "unblock_user",
    "DELETE FROM todo.blocked_users WHERE user_id = :blocked RETURNING user_id",
)
