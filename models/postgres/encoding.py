"""The encoding of the database, which has to hold whatever a user types."""

from psycopg import ConnectionInfo


def encoding_problem(info: ConnectionInfo) -> str | None:
    """Return why a database cannot hold every character, and what to do; None if it can.

    The server reports its encoding when a client connects; behind a pooler that does not pass
    that on, the database is taken to be as it should.
    """
    encoding = info.parameter_status("server_encoding")
    if encoding in {None, "UTF8"}:
        return None
    return f"its encoding is {encoding}; create a database with ENCODING 'UTF8'"
