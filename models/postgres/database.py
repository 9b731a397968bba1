"""The only way to run a statement: as a named user, in one round trip."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from math import inf
from types import MappingProxyType
from typing import Any, Literal

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from models.errors import OutcomeUnknown, TodoError, Unavailable
from models.postgres.citus import CITUS
from models.postgres.identity import POSTGRESQL
from models.postgres.pool import Pool
from models.postgres.pool_stats import PoolStats, PoolTotals
from models.postgres.prepare import prepare
from models.postgres.sqlstate import error_from
from models.postgres.statements import Statement

NO_USER = ""
"""The id of no user, for statements that are about no user's rows."""

KINDS = {"postgresql": POSTGRESQL, "citus": CITUS}
"""How each kind of PostgreSQL is told whose transaction it is."""

_MARGIN = 1.0  # seconds that a round trip may take beyond its statement
_READY_TIMEOUT = 1.0  # seconds
_FAILED = ExecStatus.FATAL_ERROR
_ROWS = ExecStatus.TUPLES_OK
# As a write, so that a standby is not ready: on PostgreSQL it fails, on Citus the row says so.
_PING = Statement(
    b"SELECT current_setting('transaction_read_only')", (), writes=True, name="ping"
)
_WRITABLE = [(b"off",)]

logger = logging.getLogger("todo.database")


class Database:
    """PostgreSQL, as this service uses it."""

    def __init__(  # noqa: PLR0913 (each is a setting)
        self,
        url: str,
        *,
        kind: Literal["postgresql", "citus"] = "postgresql",
        statements: Sequence[Statement] = (),
        pool_size: int,
        queue_size: int,
        queue_timeout: float,
        statement_timeout: float,
        slow_statement: float = inf,
        max_lifetime: float = 3600,
        constants: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Plan for `pool_size` connections, on each of which `statements` are prepared.

        On Citus, nothing is prepared. Up to `queue_size` requests wait for a connection, or
        for earlier writes of their user, for up to `queue_timeout` seconds; of the latter, a
        user may have a tenth of `queue_size`. A statement may take `statement_timeout`
        seconds; its name is logged if it takes more than `slow_statement`. A connection is
        replaced after `max_lifetime` seconds. All numbers are greater than 0. `constants` are
        parameters that every statement may use. Does no I/O until `open`.
        """
        self._begin, self._end, prepares = KINDS[kind]
        self._pool = Pool(
            url,
            size=pool_size,
            queue_size=queue_size,
            queue_timeout=queue_timeout,
            read_timeout=statement_timeout + _MARGIN,
            max_lifetime=max_lifetime,
            prepare=partial(prepare, statements=statements if prepares else ()),
        )
        self._statement_timeout = statement_timeout
        self._slow_statement = slow_statement
        self._constants = constants
        self._draining = False
        self._ping: asyncio.Task[bool] | None = None

    @property
    def pool_stats(self) -> PoolStats:
        """The figures of the connection pool at this moment."""
        return self._pool.stats

    @property
    def pool_totals(self) -> PoolTotals:
        """What the connection pool has counted since it was made."""
        return self._pool.totals

    async def open(self, connect_timeout: float = 10) -> None:
        """Connect; raises NotConnected after `connect_timeout` seconds of trying."""
        await self._pool.open(connect_timeout)

    async def close(self, drain_timeout: float = 5) -> None:
        """Drain requests in flight for up to `drain_timeout` seconds, and disconnect."""
        await self._pool.close(drain_timeout)
        if self._ping:
            await asyncio.wait([self._ping])  # it ends now: no connection is left

    def drain(self) -> None:
        """Report from now on that this process is not ready; statements are still run."""
        self._draining = True

    async def fetch(
        self, user_id: str | None, statement: Statement, values: Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        """Run a statement as a user and return its rows.

        A `user_id` of None is no user, for what needs no row of anybody's. The statement's
        parameters are among the `values`, the constants and `user_id`. Each column is None or
        `bytes`, as PostgreSQL writes it, in UTF-8. Raises Unavailable, OutcomeUnknown for a
        statement that writes, psycopg.Error for what only a bug can cause, psycopg.DataError
        for text with a NUL.
        """
        begin = self._begin(user_id, statement.writes, self._statement_timeout)
        query = statement.bind({**self._constants, **values, "user_id": user_id})
        try:
            writer = user_id if user_id and statement.writes else NO_USER
            batch = await self._pool.run([*begin, query, *self._end], writer=writer)
        except OutcomeUnknown:
            if statement.writes:
                raise
            raise Unavailable from None
        if batch.seconds > self._slow_statement:
            logger.warning("the statement %s took %.3f s", statement.name, batch.seconds)
        results = batch.results
        result = results[len(begin)]
        if result.status == _ROWS and results[-1].status != _FAILED:
            return _rows(result)
        error = error_from(next(each for each in results if each.status == _FAILED))
        at_commit = self._end and result.status == _ROWS
        if at_commit and statement.writes and isinstance(error, Unavailable):
            raise OutcomeUnknown  # a worker of Citus may have committed, and then been lost
        raise error

    async def ready(self) -> bool:
        """Return within a second whether statements can be run, and will be in a moment."""
        if self._draining:
            return False
        # One for all who ask meanwhile. None of them cancels it, which closes the connection.
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._serves())
        ping = self._ping  # who asks again may replace it before the others are told
        await asyncio.wait([ping], timeout=_READY_TIMEOUT)
        return ping.done() and ping.result()

    async def _serves(self) -> bool:
        try:
            return await self.fetch(NO_USER, _PING, {}) == _WRITABLE
        except TodoError:
            return False
        except psycopg.Error:  # all who asked may have gone, so nobody would notice it
            logger.exception("unexpected error while checking whether the database serves")
            return False


def _rows(result: PGresult) -> list[tuple[Any, ...]]:
    columns = range(result.nfields)
    return [tuple(map(result.get_value, repeat(row), columns)) for row in range(result.ntuples)]
