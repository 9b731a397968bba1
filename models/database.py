"""The only way to a statement: as a named user, in one round trip.

How it gets there is nobody else's business, so that it may change.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any

from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from models.errors import TodoError
from models.failures import failure
from models.identity import become
from models.links import Links
from models.preparation import prepare
from models.statements import Statement

_MARGIN = 1.0  # seconds that a trip may take beyond its statement
_READY_LIMIT = 1.0  # seconds
_NOBODY = ""
_FAILED = ExecStatus.FATAL_ERROR
_ROWS = ExecStatus.TUPLES_OK
_PING = Statement(b"SELECT 1", (), writes=False)


class Database:
    """PostgreSQL, as this service uses it."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        queue_size: int,
        queue_timeout: float,
        statement_timeout: float,
    ) -> None:
        """Plan for `pool_size` connections, and `queue_size` requests that wait for one.

        They wait for `queue_timeout` seconds at most; a statement may take `statement_timeout`
        seconds. All four are more than 0.
        """
        self._links = Links(
            url,
            size=pool_size,
            queue_size=queue_size,
            queue_timeout=queue_timeout,
            silence=statement_timeout + _MARGIN,
            prepare=prepare,
        )
        self._statement_timeout = statement_timeout

    async def open(self, patience: float = 10) -> None:
        """Connect; raises NotConnected if that didn't succeed in `patience` seconds."""
        await self._links.open(patience)

    async def close(self, patience: float = 5) -> None:
        """Let those finish who are being served, for `patience` seconds at most."""
        await self._links.close(patience)

    async def fetch(
        self, user_id: str, statement: Statement, values: Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        """Run a statement as a user and return its rows.

        It may use `user_id` besides the `values`. Each field is None or `bytes`: what
        PostgreSQL writes, in UTF-8. Raises Unavailable, psycopg.Error for what only a bug
        can cause, psycopg.DataError for text with a NUL.
        """
        timeout = self._statement_timeout
        results = await self._links.run(
            (
                become(user_id, writes=statement.writes, statement_timeout=timeout),
                statement.with_values({**values, "user_id": user_id}),
            )
        )
        if results[-1].status != _ROWS:  # whichever query failed, the last has none
            raise failure(next(result for result in results if result.status == _FAILED))
        return _rows(results[-1])

    async def ready(self) -> bool:
        """Tell within a second whether statements can be run."""
        with suppress(TodoError, TimeoutError):
            async with asyncio.timeout(_READY_LIMIT):
                await self.fetch(_NOBODY, _PING, {})
                return True
        return False


def _rows(result: PGresult) -> list[tuple[Any, ...]]:
    fields = range(result.nfields)
    return [tuple(map(result.get_value, repeat(row), fields)) for row in range(result.ntuples)]
