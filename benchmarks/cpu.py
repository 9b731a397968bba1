"""Processor affinity: which processors each component runs on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from benchmarks.usage import process_tree


@dataclass(frozen=True, slots=True)
class CpuLayout:
    """The processors assigned to each component."""

    service: set[int]
    database: set[int]
    load: set[int]

    def __str__(self) -> str:
        """Describe the layout in one sentence."""
        if self.database == self.load:
            return "one core for everything"
        service = "all cores" if self.service == self.database else "one core"
        return f"{service} for the service, one for wrk, all for PostgreSQL"


def cpu_layout(workers: int = 1) -> CpuLayout:
    """Assign processors: one to a service that is a single process, otherwise all.

    PostgreSQL may use every core. Confined to the other core of two, it would slow down
    the fast services, and idle time would distort their figures: a virtual processor that
    halts whenever it is idle takes a third longer for the same work.
    """
    cores = sorted(os.sched_getaffinity(0))
    service = {cores[0]} if workers == 1 else set(cores)
    return CpuLayout(service, set(cores), {cores[-1]})


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
