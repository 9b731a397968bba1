"""SQL that is written once, as expressions, and compiled when the module is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import ClauseElement, create_engine
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = create_engine("postgresql+psycopg://", paramstyle="numeric_dollar").dialect
_ADAPTATION = Transformer()
_TEXT = PyFormat.TEXT


class Query(NamedTuple):
    """One message to PostgreSQL: SQL and the values of `$1`, `$2` …, as text."""

    sql: bytes
    values: Sequence[Buffer | None] | None
    """None if PostgreSQL shall only parse the SQL, and keep it under the name."""

    name: bytes = b""
    """What PostgreSQL may know the SQL by; empty if it is not worth keeping."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that awaits its values; one that doesn't `write` runs in a read-only transaction."""

    sql: bytes
    """With `$1`, `$2` … where the values go, each with a cast if its type isn't obvious."""

    names: tuple[str, ...]
    """What the values are called, in the order of their numbers."""

    writes: bool

    name: bytes = b""
    """What PostgreSQL may know it by; empty if it is not run often enough."""

    def with_values(self, values: Mapping[str, object]) -> Query:
        """Fill in the values; names that the statement doesn't know are ignored.

        KeyError if one is missing, psycopg.DataError for text with a NUL.
        """
        chosen = [*map(values.__getitem__, self.names)]
        dumped = _ADAPTATION.dump_sequence(chosen, [_TEXT] * len(chosen))
        return Query(self.sql, dumped, self.name)


OFTEN: list[Statement] = []
"""Every statement that is worth parsing once per connection, not once per request."""


def often(sql: bytes, names: tuple[str, ...], *, writes: bool) -> Statement:
    """Make a statement that every connection shall know."""
    statement = Statement(sql, names, writes, b"todo_%d" % len(OFTEN))
    OFTEN.append(statement)
    return statement


def reads(expression: ClauseElement) -> Statement:
    """Compile a statement that only reads."""
    return _compiled(expression, writes=False)


def writes(expression: ClauseElement) -> Statement:
    """Compile a statement that changes rows."""
    return _compiled(expression, writes=True)


def _compiled(expression: ClauseElement, *, writes: bool) -> Statement:
    compiled = expression.compile(dialect=_DIALECT)
    assert isinstance(compiled, SQLCompiler)
    assert set(compiled.params.values()) <= {None}, "a constant, which would need a value"
    return often(str(compiled).encode(), tuple(compiled.positiontup or ()), writes=writes)
