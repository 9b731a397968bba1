"""Describing a DSN in messages, without its password."""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

_UNKNOWN_PARAMETER = re.compile(r'invalid URI query parameter: "([a-z_]+)"\s*')
# A password with a `?` or `&` that is not percent-encoded would be taken for a parameter.
_MAY_BE_SECRET = re.compile(r"@|password|secret|key")


def describe_dsn(url: str) -> str:
    """Return the database, server and user of a URL, as in `todo at db:5432 as me`.

    What the URL leaves out is decided by libpq's defaults and PG… variables.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:  # its message may quote the password
        unknown = _UNKNOWN_PARAMETER.fullmatch(str(error))
        if unknown and not _MAY_BE_SECRET.search(url.partition("?")[2]):
            return f"a URL whose parameter {unknown[1]} PostgreSQL does not know"
        return "a URL that cannot be read (postgresql://user:password@host:5432/database)"
    hosts = str(parts.get("host", "the default host")).split(",")
    ports = str(parts.get("port", "")).split(",")
    if len(ports) == 1:  # that of all hosts
        ports *= len(hosts)
    pairs = zip(hosts, ports, strict=False)
    servers = ", ".join(f"{host}:{port or 5432}" for host, port in pairs)
    database = parts.get("dbname", "the default database")
    return f"{database} at {servers} as {parts.get('user', 'the default user')}"


def dsn_user(url: str) -> str | None:
    """Return the role that a URL connects as; None if it has none.

    Raises psycopg.ProgrammingError if it cannot be read.
    """
    user = conninfo_to_dict(url).get("user")
    return None if user is None else str(user)
