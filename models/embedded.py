"""PostgreSQL for a machine that has none: a wheel's own server, stopped with the service.

`<data_dir>/postgres` holds everything:

    pgdata/      the cluster, renamed into place once initdb has finished
    secrets      generated passwords, role by role
    log          what initdb and the server say
    start.lock   held while somebody starts or stops the server
    use.lock     shared by all who use the server; who gets it alone stops it
    server.lock  inherited by every process of the server, held while one lives

The kernel takes a lock back when its last holder dies, however it dies. So the locks
tell the truth even after `kill -9`, where a pid in a file may be a stranger's by now.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import psycopg

from models.postgres_binaries import EmbeddedError
from models.postgres_cluster import Cluster, Urls, locked

__all__ = ["EmbeddedError", "Urls", "running"]


@contextmanager
def running(data_dir: Path) -> Iterator[Urls]:
    """Run PostgreSQL in `data_dir`, where the first call makes a cluster.

    Yields the URLs of its database. Processes that do this at the same time share one
    server; the last to leave stops it. Raises EmbeddedError when it cannot be started or
    stopped; what the body raises passes unchanged.
    """
    home = data_dir.absolute() / "postgres"
    cluster = Cluster(home)
    with ExitStack() as held:
        with _explained(home):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
            use = held.enter_context(locked(home / "use.lock", LOCK_SH))
        try:
            with _explained(home), locked(home / "start.lock"):
                urls = cluster.start()
            yield urls
        finally:
            with _explained(home), locked(home / "start.lock"), suppress(BlockingIOError):
                flock(use, LOCK_UN)
                with locked(home / "use.lock", LOCK_EX | LOCK_NB):
                    cluster.stop()


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Make one sentence of whatever the system or the database has against it."""
    try:
        yield
    except (OSError, psycopg.Error) as error:
        message = f"PostgreSQL cannot be run in {home}: {error}"
        raise EmbeddedError(message) from error
