"""An embedded PostgreSQL for a machine that has none, stopped with the service.

The server comes in a wheel. The wheel's own API creates system users and uses trust
authentication, so this runs its binaries directly.

`<data_dir>/postgres` holds everything:

    pgdata/      the cluster, renamed into place once initdb has finished
    secrets      generated passwords by role
    log          the output of initdb and the server
    start.lock   held while a process starts or stops the server
    use.lock     shared by all users of the server; who gets it exclusively stops it
    server.lock  inherited by every process of the server, held while one is running

The kernel releases a lock when its last holder ends, however it ends. So the locks are right
even after `kill -9`, when a pid in a file may belong to another process.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import psycopg

from models.embedded.binaries import EmbeddedError
from models.embedded.cluster import Cluster, Urls, locked
from models.embedded.supervisor import supervised

__all__ = ["EmbeddedError", "Urls", "exists", "running"]


def exists(data_dir: Path) -> bool:
    """Return whether there is a cluster in `data_dir`. Raises EmbeddedError if unknown."""
    home = data_dir.absolute() / "postgres"
    with _as_embedded_error(home):
        return Cluster(home).pgdata.exists()


@contextmanager
def running(data_dir: Path) -> Iterator[Urls]:
    """Run PostgreSQL in `data_dir`, where the first call creates a cluster.

    Yields the URLs of its database, which stay valid: if the server dies, it is started
    again on the same port. Processes that do this at the same time share one server; the
    last one to exit stops it. Raises EmbeddedError if it cannot be started or stopped.
    """
    home = data_dir.absolute() / "postgres"
    cluster = Cluster(home)
    with ExitStack() as stack:
        with _as_embedded_error(home):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
            use = stack.enter_context(locked(home / "use.lock", LOCK_SH))
        try:
            with _as_embedded_error(home), locked(home / "start.lock"):
                urls = cluster.start()
            with supervised(cluster, use):
                yield urls
        finally:
            with (
                _as_embedded_error(home),
                locked(home / "start.lock"),
                suppress(BlockingIOError),
            ):
                flock(use, LOCK_UN)
                with locked(home / "use.lock", LOCK_EX | LOCK_NB):
                    cluster.stop()


@contextmanager
def _as_embedded_error(home: Path) -> Iterator[None]:
    """Turn errors of the system and the database into an EmbeddedError."""
    try:
        yield
    except (OSError, psycopg.Error) as error:
        message = f"PostgreSQL cannot be run in {home}: {error}"
        raise EmbeddedError(message) from error
