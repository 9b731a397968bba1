"""Connections to PostgreSQL: a bounded number, a bounded queue, and what to do without any."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from psycopg.pq.abc import PGconn
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from models.errors import NotConnected, Unavailable
from models.session import OPTIONS, Session, abandon, enter_pipeline_mode, knock, lives
from models.trip import ConnectionLost
from models.whereabouts import whereabouts

_log = logging.getLogger(__name__)
# It would tell of every request that it serves, three times.
logging.getLogger("psycopg.pool").setLevel(logging.WARNING)

_Answer = TypeVar("_Answer")
_Pool = AsyncConnectionPool[Session]

_GLANCE = 1.0  # seconds
_NO_TIME = 0.001  # seconds; a pool takes 0 for its default
_PAUSE = 0.4  # seconds between two knocks at most


class Connections:
    """A pool that makes way for a fresh one whenever the database has been away.

    The pool's own way to reconnect backs off for minutes. So when a connection is lost,
    one task knocks at the database: if nobody opens, the pool is given up, and until
    somebody does, whoever asks for a connection is refused at once.
    """

    def __init__(self, url: str, *, size: int, queue_size: int, queue_timeout: float) -> None:
        """Plan for `size` connections and at most `queue_size` (1 or more) who wait for one."""
        self._url = url
        self._size = size
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._pool: _Pool | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._lent = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self, patience: float) -> None:
        """Connect, or raise NotConnected after `patience` seconds of trying."""
        deadline = time.monotonic() + patience
        while reason := await knock(self._url):
            message = f"Cannot connect to {whereabouts(self._url)}: {reason}"
            if time.monotonic() > deadline:
                raise NotConnected(message)
            _log.warning("%s", message)
            await _pause()
        self._pool = await self._fresh_pool()

    async def close(self, patience: float) -> None:
        """Refuse newcomers, and wait up to `patience` seconds for those who are served."""
        if self._recovery:
            self._recovery.cancel()
        pool, self._pool = self._pool, None
        if pool:
            await pool.close(timeout=patience)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._idle.wait()

    async def use(self, work: Callable[[PGconn], Awaitable[_Answer]]) -> _Answer:
        """Do some work on a connection, in libpq's pipeline mode, that is its alone.

        Raises Unavailable if there is none, or if `work` raises ConnectionLost. After any
        other exception, a cancellation too, nobody gets that connection again.
        """
        pool, session = await self._take()
        intact = False
        try:
            answer = await work(session.pgconn)
            intact = True
        except ConnectionLost as loss:
            _log.warning("connection lost: %s", loss)
            self._suspect(pool)
            raise Unavailable from None
        finally:
            self._give_back(pool, session, intact=intact)
        return answer

    async def _take(self) -> tuple[_Pool, Session]:
        cancellations = _cancellations()
        deadline = time.monotonic() + self._queue_timeout
        while pool := self._pool:
            # In short waits: a pool may forget who comes to it in the moment it closes.
            patience = min(_GLANCE, max(deadline - time.monotonic(), _NO_TIME))
            try:
                session = await pool.getconn(timeout=patience)
            except PoolClosed:
                continue  # with a fresh pool, perhaps
            except (PoolTimeout, TooManyRequests) as error:
                if isinstance(error, PoolTimeout) and time.monotonic() < deadline:
                    continue
                _log.warning("no connection: %s", error)
                break
            self._lent += 1
            self._idle.clear()
            if _cancellations() > cancellations:
                self._give_back(pool, session, intact=True)
                raise asyncio.CancelledError
            if lives(session.pgconn):
                return pool, session
            self._give_back(pool, session, intact=False)
        raise Unavailable

    def _give_back(self, pool: _Pool, session: Session, *, intact: bool) -> None:
        # In a task of its own: who is cancelled while giving back would keep it for ever.
        self._go_on_with(self._return(pool, session, intact=intact))

    def _go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _return(self, pool: _Pool, session: Session, *, intact: bool) -> None:
        try:
            if not intact:
                await abandon(session)
            await pool.putconn(session)
        finally:
            self._lent -= 1
            if not self._lent:
                self._idle.set()

    async def _fresh_pool(self) -> _Pool:
        pool = _Pool(
            self._url,
            kwargs=OPTIONS,
            min_size=self._size,
            open=False,
            configure=enter_pipeline_mode,
            timeout=self._queue_timeout,
            max_waiting=self._queue_size,
            reconnect_timeout=0,  # try twice, then say so
            reconnect_failed=self._suspect_if_empty,
        )
        await pool.open()
        return pool

    def _suspect_if_empty(self, pool: _Pool) -> None:
        # With some connections left it may be the server's limit that hinders the others.
        if pool.get_stats()["pool_size"] == 0:
            self._suspect(pool)

    def _suspect(self, pool: _Pool) -> None:
        if pool is self._pool and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(self._recover(pool))

    async def _recover(self, pool: _Pool) -> None:
        """Replace a pool of which a connection was lost, as soon as the database is there."""
        while reason := await knock(self._url):
            if self._pool:
                _log.error("the database is gone: %s", reason)
                self._pool = None
                await pool.close(timeout=_PAUSE)
            await _pause()
        if self._pool is None:
            _log.warning("the database is back")
        self._pool = await self._fresh_pool()
        # Nothing is waited for from here on: whoever loses the fresh pool must find this
        # recovery done, or nobody would begin the next.
        self._go_on_with(pool.close(timeout=_PAUSE))


def _cancellations() -> int:
    """Count how often the current task was told to end.

    The pool waits with `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that
    comes together with what it waits for (python/cpython#86296).
    """
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def _pause() -> None:
    # Jittered, so that the processes of a service don't all knock at once.
    await asyncio.sleep(_PAUSE * random.uniform(0.5, 1))  # noqa: S311 (no secret)
