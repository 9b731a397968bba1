"""A PostgreSQL server that a test may stop, kill, suspend and block."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from harness.cluster import Cluster as Database
from harness.service import SECRET, free_port
from models.embedded.cluster import Cluster

TIMEOUT_SECONDS = 180


class Postgres:
    """The PostgreSQL in `home`, where a cluster may already exist."""

    def __init__(self, home: Path) -> None:
        """Start the server, on a port that stays the same."""
        self.cluster = Cluster(home)
        self.port = free_port()
        if self.cluster.pgdata.exists():
            self.cluster.start_postmaster(self.port)
        self.urls = self.cluster.start()
        self.port = urlsplit(self.urls.owner).port or 0
        self.database = Database(self.urls, self.cluster.passwords()["postgres"])
        """The database of the service, to run SQL in."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that uses this server."""
        return {
            "BETTER_AUTH_SECRET": SECRET,
            "DATABASE_URL": self.urls.app,
            "MIGRATION_DATABASE_URL": self.urls.owner,
        }

    def start(self) -> None:
        """Start the server again, after it was stopped or killed."""
        self.cluster.start_postmaster(self.port)
        self.cluster.connect().close()

    def stop(self) -> None:
        """Stop the server; open sessions are terminated."""
        self.cluster.stop()

    def kill(self) -> None:
        """Kill the server, and wait until all of its processes have ended."""
        kill_postmasters(self.cluster.home)
        wait_until(lambda: not self.cluster.alive())

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend all processes: connections stay open, but get no response."""
        processes = find_postmasters(self.cluster.home)
        processes += [child for parent in processes for child in parent.children()]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    @contextmanager
    def task_locked(self, *task_ids: str) -> Iterator[None]:
        """Lock the rows of tasks, which blocks writes."""
        lock = "SELECT 1 FROM todo.tasks WHERE id = ANY (%s::uuid[]) FOR UPDATE"
        with psycopg.connect(self.database.superuser) as connection:
            connection.execute(lock, [list(task_ids)])
            yield

    def count_lock_waits(self) -> int:
        """Return how many statements wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return int(self.database.scalar(query))

    def count_connections(self) -> int:
        """Return how many connections services have open."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'todo_login'"
        return int(self.database.scalar(query))


def find_postmasters(home: Path) -> list[psutil.Process]:
    """Return the running postmasters of a cluster: one, or none."""
    argument = f"-D{home}/pgdata"
    found = [process for process in psutil.process_iter() if argument in command_of(process)]
    pids = {process.pid for process in found}
    return [process for process in found if parent_of(process) not in pids]


def command_of(process: psutil.Process) -> list[str]:
    """Return a process's command line; empty if it has ended meanwhile."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def parent_of(process: psutil.Process) -> int | None:
    """Return the parent's process id; None if the process has ended meanwhile."""
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None


def kill_postmasters(home: Path) -> None:
    """Kill the postmasters of a cluster; their child processes then exit by themselves."""
    for process in find_postmasters(home):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def is_running(process: psutil.Process) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    """Poll a condition until it is true; fails after TIMEOUT_SECONDS."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
