"""SQL statements, and their messages to PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer

_ADAPTER = Transformer()
_TEXT = PyFormat.TEXT


class Query(NamedTuple):
    """One message to PostgreSQL: SQL, and the values of `$1`, `$2` … as text."""

    sql: bytes
    values: Sequence[Buffer | None] | None
    """None if PostgreSQL is only to prepare the SQL under `name`; see also SYNC."""

    name: bytes = b""
    """The name of the prepared statement; empty if it is never prepared."""


SYNC = Query(b"", None)
"""Not a query but a sync: PostgreSQL runs what follows even if a query before it fails."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with parameters; one that does not write runs in a read-only transaction."""

    sql: bytes
    """With `$1`, `$2` … as parameters, each with a cast if its type isn't obvious."""

    parameters: tuple[str, ...]
    """The names of the parameters, in the order of their numbers."""

    writes: bool

    name: str = ""
    """What it is prepared as, if it is, and logged as; empty for neither."""

    encoded_name: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Encode the name once."""
        object.__setattr__(self, "encoded_name", self.name.encode())

    def bind(self, values: Mapping[str, object]) -> Query:
        """Bind values to the parameters; other values are ignored.

        Raises KeyError if one is missing, psycopg.DataError for text with a NUL.
        """
        bound = [*map(values.__getitem__, self.parameters)]
        dumped = _ADAPTER.dump_sequence(bound, [_TEXT] * len(bound))
        return Query(self.sql, dumped, self.encoded_name)

    def prepare(self) -> Query:
        """Return the message that prepares this statement on a connection."""
        return Query(self.sql, None, self.encoded_name)
