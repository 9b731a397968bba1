"""SQL of the functions that make the JSON of a task, for migrations that add a field.

Earlier migrations call this, too: types may be added, but nothing may change.
"""

from collections.abc import Mapping

_RFC_3339 = r"""'\"YYYY-MM-DD"T"HH24:MI:SS.US"Z\"'"""
_FORMS = {
    "boolean": "{0}::text",
    "uuid": "'\"' || {0} || '\"'",
    "timestamptz": f"to_char({{0}} AT TIME ZONE 'UTC', {_RFC_3339})",
}
_FORM = "to_json({0})::text"


def create_function(version: int, members: Mapping[str, str]) -> list[str]:
    """Return the commands that create `todo.task_json_v<version>`.

    `members` maps each column in the JSON to its SQL type, in the order of
    `models.queries.representation.REPRESENTED`. Keep the functions of earlier versions:
    services that have not been upgraded yet still call them.

    Immutable, though not all that it calls is declared so: none of these formats depends on
    a setting. PL/pgSQL, since PostgreSQL would inline SQL only if they were.
    """
    name = f"todo.task_json_v{version}"
    parameters = ", ".join(f"{column} {kind}" for column, kind in members.items())
    parts = (
        f"'\"{column}\":', coalesce({_FORMS.get(kind, _FORM).format(column)}, 'null')"
        for column, kind in members.items()
    )
    body = ", ',', ".join(parts)
    return [
        f"""CREATE FUNCTION {name}({parameters}) RETURNS text
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $$ BEGIN RETURN concat('{{', {body}, '}}'); END $$""",
        f"GRANT EXECUTE ON FUNCTION {name} TO todo_serving",
    ]


def drop_function(version: int) -> str:
    """Return the command that drops it."""
    return f"DROP FUNCTION todo.task_json_v{version}"
