"""Processor time and memory of processes.

The kernel accounts processor time per process. That figure depends far less on other load
on the machine than throughput and latency do.
"""

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds, up to a moment or in between two."""

    service: dict[psutil.Process, float]
    """Those of each process of the service."""
    database: float
    system: float
    """Those of the whole machine, and what the host has stolen."""
    time: float
    """Elapsed seconds, on the monotonic clock."""

    @classmethod
    def now(cls, service: psutil.Process, database: psutil.Process) -> "Usage":
        """Return what has been used up to now."""
        return cls(
            cpu_seconds_each(service),
            cpu_seconds(database),
            system_cpu_seconds(),
            time.monotonic(),
        )

    def __sub__(self, earlier: "Usage") -> "Usage":
        """Return what has been used since an earlier moment."""
        return Usage(
            {
                process: seconds - earlier.service.get(process, 0.0)
                for process, seconds in self.service.items()
            },
            self.database - earlier.database,
            self.system - earlier.system,
            self.time - earlier.time,
        )


def process_tree(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [root, *root.children(recursive=True)]


def cpu_seconds_each(root: psutil.Process) -> dict[psutil.Process, float]:
    """Return the processor seconds used by a process and by each of its descendants.

    Those of exited descendants are added to their parents', once these have reaped them:
    PostgreSQL backends may come and go.
    """
    seconds = {}
    for process in process_tree(root):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds[process] = (
                times.user + times.system + times.children_user + times.children_system
            )
    return seconds


def cpu_seconds(root: psutil.Process) -> float:
    """Return the processor seconds used by a process and all its descendants."""
    return sum(cpu_seconds_each(root).values())


def system_cpu_seconds() -> float:
    """Return the processor seconds during which processors were busy, or stolen by the host."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)  # guest time is part of user


def memory_mib(root: psutil.Process) -> float:
    """Return the memory in MiB of a process and all its descendants, shared pages once.

    Pages that are shared with processes outside are counted in part: it is their sum of PSS.
    """
    total = 0
    for process in process_tree(root):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MEBIBYTE


def resident_mib(process: psutil.Process) -> tuple[float, float]:
    """Return a process's resident memory in MiB, and what no other shares of it (USS)."""
    memory = process.memory_full_info()
    return memory.rss / MEBIBYTE, memory.uss / MEBIBYTE
