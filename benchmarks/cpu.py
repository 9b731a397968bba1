"""Processor affinity and processor time.

The kernel accounts processor time per process. That figure depends far less on other load
on the machine than throughput and latency do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class CpuLayout:
    """The processors assigned to each component."""

    service: set[int]
    database: set[int]
    load: set[int]

    def __str__(self) -> str:
        """Describe the layout in one sentence."""
        if self.service == self.load:
            return "one core for everything"
        return "one core for the service, another for wrk, all cores for PostgreSQL"


def cpu_layout() -> CpuLayout:
    """Assign processors: one to the service, which is a single process.

    PostgreSQL may use every core. Confined to the other core of two, it would slow down
    the fast services, and idle time would distort their figures: a virtual processor that
    halts whenever it is idle takes a third longer for the same work.
    """
    cores = sorted(os.sched_getaffinity(0))
    return CpuLayout({cores[0]}, set(cores), {cores[-1]})


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Pin processes started in this block, and their children, to these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def set_affinity(root: psutil.Process, cores: set[int]) -> None:
    """Pin a running process and its descendants to these processors."""
    for process in process_tree(root):
        with suppress(psutil.NoSuchProcess):
            process.cpu_affinity(list(cores))


def process_tree(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [root, *root.children(recursive=True)]


def cpu_seconds(root: psutil.Process) -> float:
    """Return the processor seconds used by a process and all its descendants.

    Exited descendants are included once their parents have reaped them: PostgreSQL
    backends may come and go.
    """
    total = 0.0
    for process in process_tree(root):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def system_cpu_seconds() -> float:
    """Return the processor seconds during which processors were busy, or stolen by the host."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)  # guest time is part of user
