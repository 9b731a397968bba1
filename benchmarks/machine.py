"""Processors: which are for whom, and how long they have worked for somebody.

The kernel accounts for every process: that figure depends far less on what else runs on the
machine than requests per second and latencies do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Layout:
    """The processors of each party."""

    service: set[int]
    database: set[int]
    load: set[int]

    def __str__(self) -> str:
        """Say it in one sentence."""
        if self.service == self.load:
            return "everything shares one core"
        return "one core for the service, another for wrk, all of them for PostgreSQL"


def layout() -> Layout:
    """Keep the service on one core: it is a single process, and what is compared.

    PostgreSQL may use every core. If it had the other one of two, services that outrun it
    would wait, and pay for that: a virtual processor that halts whenever there is nothing
    to do takes a third longer for the same work than one that doesn't.
    """
    cores = sorted(os.sched_getaffinity(0))
    return Layout({cores[0]}, set(cores), {cores[-1]})


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """Start processes on these processors; they stay there, and so do their children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(root: psutil.Process, cores: set[int]) -> None:
    """Move a running process and its children to these processors."""
    for process in family(root):
        with suppress(psutil.NoSuchProcess):
            process.cpu_affinity(list(cores))


def family(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    return [root, *root.children(recursive=True)]


def seconds_of(root: psutil.Process) -> float:
    """Tell how long processors have worked for a process and all that descend from it.

    Those that have ended count, too, since their parents have waited for them: backends
    of PostgreSQL may come and go.
    """
    total = 0.0
    for process in family(root):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def seconds_of_all() -> float:
    """Tell how long all processors have been busy, or kept by the host for others."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)  # guests are part of user
