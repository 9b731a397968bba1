"""What is open while the service, or a command, runs."""

import contextlib
import gc
import logging
import multiprocessing
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager

from app.components import create_database
from handlers.server.drain import on_sigterm
from models.errors import NotConnected, Unavailable
from models.postgres.database import Database
from models.role_check import check_app_role, check_login
from settings import Settings

logger = logging.getLogger("todo.server")

_GC_THRESHOLD = 10_000  # objects, as many as a hundred requests in flight have


@contextlib.asynccontextmanager
async def lifespan(
    background: Iterable[AbstractAsyncContextManager[object]],
    database: Database,
    shutdown_delay: float,
) -> AsyncIterator[None]:
    """Open what requests need, in this order; starting does not wait for Better Auth."""
    async with contextlib.AsyncExitStack() as stack:
        with _replaced_during_outage():
            for each in background:
                await stack.enter_async_context(each)
        # What exists now stays: collecting it again took a tenth of every request. The default
        # threshold of 700 new objects took another, and requests leave next to no garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        with on_sigterm(database.drain, shutdown_delay):
            yield


@contextlib.contextmanager
def _replaced_during_outage() -> Iterator[None]:
    """End a worker process that does not reach the database; its parent starts another.

    The parent has checked the database before it started any. If a worker reported that its
    startup failed, uvicorn would stop all the others.
    """
    try:
        yield
    except (NotConnected, Unavailable) as error:
        if multiprocessing.parent_process() is None:
            raise
        logger.warning("this worker cannot start, another will try: %s", error)
        os._exit(os.EX_TEMPFAIL)


@contextlib.asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database as the service will, with one connection, for a command.

    Raises NotConnected or UnsafeRole, with a message for the operator.
    """
    database = create_database(settings.model_copy(update={"pool_size": 1}))
    async with opened(settings, database, connect_timeout=0):
        yield database


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, database: Database, connect_timeout: float = 10
) -> AsyncIterator[None]:
    """Open the database until the context exits. Raises NotConnected, UnsafeRole."""
    await database.open(connect_timeout)
    try:
        await check_app_role(database)
        if not settings.allow_privileged_login:
            await check_login(database)
        yield
    finally:
        await database.close()
