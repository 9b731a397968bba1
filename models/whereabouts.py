"""Where a database is, for messages: never with the password."""

import psycopg
from psycopg.conninfo import conninfo_to_dict


def whereabouts(url: str) -> str:
    """Say which server, database and user a URL means, as in `todo at db:5432 as me`.

    What the URL leaves out, libpq's defaults and PG… variables decide.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text may quote the password
        return "a URL that cannot be read (postgresql://user:password@host:5432/database)"
    place = f"{parts.get('host', 'the default host')}:{parts.get('port', 5432)}"
    return f"{parts.get('dbname', 'the default database')} at {place} as {login(url)}"


def login(url: str) -> str | None:
    """Tell the role that a URL connects as; None if it doesn't say."""
    user = conninfo_to_dict(url).get("user")
    return None if user is None else str(user)
