"""Starts an embedded server again when it dies while it is in use."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB

from models.embedded.binaries import EmbeddedError
from models.embedded.cluster import Cluster, locked

_CHECK_INTERVAL = 0.5  # seconds
_READY_INTERVAL = 0.05  # seconds
_MAX_PAUSE = 10.0  # seconds between two starts; each that was in vain doubles the pause

logger = logging.getLogger("todo.database")


@contextmanager
def supervised(cluster: Cluster, use: int) -> Iterator[None]:
    """Keep a running server running until the context exits.

    `use` is the descriptor of its `use.lock`. Of several processes that supervise a server,
    one starts it again.
    """
    stopping = threading.Event()
    thread = threading.Thread(target=_supervise, args=(cluster, use, stopping), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _supervise(cluster: Cluster, use: int, stopping: threading.Event) -> None:
    pause = _CHECK_INTERVAL
    while not stopping.wait(pause) and _is_same_directory(cluster, use):
        try:
            if not cluster.alive():
                _restart(cluster, stopping)
            pause = _CHECK_INTERVAL
        except (OSError, EmbeddedError) as error:
            logger.warning("PostgreSQL in %s cannot be started: %s", cluster.home, error)
            pause = min(2 * pause, _MAX_PAUSE)


def _restart(cluster: Cluster, stopping: threading.Event) -> None:
    """Start the server unless another process does, and wait until it is ready.

    Raises EmbeddedError if it ends before.
    """
    with suppress(BlockingIOError), locked(cluster.home / "start.lock", LOCK_EX | LOCK_NB):
        if cluster.alive():
            return
        logger.warning("PostgreSQL in %s has died and is started again.", cluster.home)
        cluster.start_postmaster(cluster.port)
        while not stopping.wait(_READY_INTERVAL):
            if superuser := cluster.try_connect():
                superuser.close()
                return
            if not cluster.alive():
                cluster.binaries.fail("it ends")


def _is_same_directory(cluster: Cluster, use: int) -> bool:
    """Return whether the directory is still there, and has not been replaced by another."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(use), (cluster.home / "use.lock").stat())
    return False
