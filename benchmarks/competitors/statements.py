"""The statements in SQL, for competitors that use none of the query builders.

`$1` is the user. The statements about one task take its id as `$2`.
"""

# ruff: noqa: S608 (statements are composed of constants; values are parameters)

from functools import cache

COLUMNS = (
    "id, user_id, title, description, completed, priority, due_date, remind_at, tags, "
    "completed_at, created_at, updated_at"
)
FILTERS = {"all": "", "pending": "AND NOT completed", "completed": "AND completed"}
SORT_ORDERS = {
    "created": "created_at DESC, id DESC",
    "title": 'lower(title) COLLATE "C", id',
    "due_date": "due_date ASC NULLS LAST, id",
}

LISTS = {
    (status, sort): f"""
        SELECT {COLUMNS} FROM tasks WHERE user_id = $1 {condition}
        ORDER BY {order} LIMIT $2 OFFSET $3"""
    for status, condition in FILTERS.items()
    for sort, order in SORT_ORDERS.items()
}
GET = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2"
CREATE = f"""
    INSERT INTO tasks (user_id, id, title, description, completed, priority, due_date,
        remind_at, tags, completed_at)
    VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, $6, $7, $8,
        CASE WHEN $4 THEN now() END)
    RETURNING {COLUMNS}"""
COMPLETE = f"""
    UPDATE tasks SET completed = NOT completed, updated_at = now(),
        completed_at = CASE WHEN NOT completed THEN now() END
    WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}"""


@cache
def update(*names: str) -> str:
    """Return the statement that sets these columns, to the parameters from `$3` on."""
    values = {name: f"${number}" for number, name in enumerate(names, 3)}
    if "completed" in values:
        completed = values["completed"]
        values["completed_at"] = f"CASE WHEN {completed} THEN coalesce(completed_at, now()) END"
    changes = ", ".join(f"{name} = {value}" for name, value in values.items())
    return f"""
        UPDATE tasks SET {changes}, updated_at = now()
        WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}"""
