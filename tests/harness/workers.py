"""The worker processes of a service."""

from contextlib import suppress

import psutil

from harness.postgres import is_running
from harness.service import Service


def server_processes(service: Service) -> set[psutil.Process]:
    """Return the worker processes, without the one that they are forked from."""
    return {
        worker
        for fork_server in fork_servers(service)
        for worker in _children(fork_server)
        if is_running(worker)
    }


def fork_servers(service: Service) -> set[psutil.Process]:
    """Return the processes that workers are forked from: one, if there are any."""
    children = _children(psutil.Process(service.process.pid))
    return {child for child in children if "multiprocessing.forkserver" in _command_line(child)}


def _children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children of a process; none if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.children())
    return []


def _command_line(process: psutil.Process) -> str:
    """Return the command line of a process; it is empty if the process has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
