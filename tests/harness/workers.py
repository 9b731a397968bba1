"""The worker processes of a service."""

from contextlib import suppress

import psutil

from harness.postgres import is_running
from harness.service import Service


def server_processes(service: Service) -> set[psutil.Process]:
    """Return the worker processes, without the helper process of multiprocessing."""
    workers = filter(is_running, service.workers())
    return {worker for worker in workers if "spawn_main" in _command_line(worker)}


def _command_line(process: psutil.Process) -> str:
    """Return the command line of a process; it is empty if the process has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
