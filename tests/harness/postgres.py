"""A PostgreSQL of a test's own, to be stopped, killed, frozen and held up."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from harness.service import SECRET, free_port
from models.embedded.cluster import Cluster

TIMEOUT_SECONDS = 180


class Postgres:
    """The PostgreSQL in `home`, a cluster that may be there already."""

    def __init__(self, home: Path) -> None:
        """Start it, on a port that stays the same."""
        self.cluster = Cluster(home)
        self.port = free_port()
        if self.cluster.pgdata.exists():
            self.cluster.start_postmaster(self.port)
        self.urls = self.cluster.start()
        self.port = urlsplit(self.urls.owner).port or 0

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that uses it."""
        return {
            "BETTER_AUTH_SECRET": SECRET,
            "DATABASE_URL": self.urls.app,
            "MIGRATION_DATABASE_URL": self.urls.owner,
        }

    def start(self) -> None:
        """Start it again, after it was stopped or killed."""
        self.cluster.start_postmaster(self.port)
        self.cluster.connect().close()

    def stop(self) -> None:
        """Stop it as an operator would: sessions end, commits stay."""
        self.cluster.stop()

    def kill(self) -> None:
        """Kill it, and wait for the last of its processes to notice."""
        kill_postmasters(self.cluster.home)
        wait_until(lambda: not self.cluster.alive())

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Have it neither answer nor hang up, as behind a network that is gone."""
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
    def task_locked(self, task_id: str) -> Iterator[None]:
        """Lock a task's row, so that whoever changes it has to wait."""
        with self.connect_as_superuser() as connection, connection.transaction():
            connection.execute("SELECT 1 FROM todo.tasks WHERE id = %s FOR UPDATE", [task_id])
            yield

    def count_lock_waits(self) -> int:
        """Count the statements that wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return int(self.execute(query))

    def count_connections(self) -> int:
        """Count the connections of services."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'todo_login'"
        return int(self.execute(query))

    def execute(self, query: str) -> Any:
        """Run one statement as superuser; return what it answers first, if anything."""
        with self.connect_as_superuser() as connection:
            cursor = connection.execute(query.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def connect_as_superuser(self) -> psycopg.Connection:
        """Connect to the database as somebody who may do everything."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname="todo",
            user="postgres",
            password=self.cluster.passwords()["postgres"],
            autocommit=True,
        )


def find_postmasters(home: Path) -> list[psutil.Process]:
    """Find the postmasters of a cluster: one, or none."""
    argument = f"-D{home}/pgdata"
    everything = psutil.process_iter(["cmdline", "ppid"])
    # What has ended, but has not been noticed by its parent, has no command line.
    found = [process for process in everything if argument in (process.info["cmdline"] or ())]
    pids = {process.pid for process in found}
    return [process for process in found if process.info["ppid"] not in pids]


def kill_postmasters(home: Path) -> None:
    """Kill whatever PostgreSQL runs there; its processes then end by themselves."""
    for process in find_postmasters(home):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that its parent has yet to notice does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that is sure to come."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
