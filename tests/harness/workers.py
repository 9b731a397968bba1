"""The worker processes of a service."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import psutil

from harness.postgres import is_running, wait_until
from harness.service import NO_TLS, Service

FORK_SERVER = re.compile(r"(multiprocessing|harness)\.forkserver")
"""In the command line of the fork server of workers, which may be a fork itself."""


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
    return {child for child in children if FORK_SERVER.search(_command_line(child))}


def _children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children of a process; none if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.children())
    return []


@contextmanager
def clients_of_every_process(service: Service, token: str) -> Iterator[list[httpx.Client]]:
    """Connect to each process of a service that serves; yields one client per process.

    Which process accepts a connection is up to the kernel, so this tries until all have one.
    """
    processes = server_processes(service) or {psutil.Process(service.process.pid)}
    clients: dict[psutil.Process, httpx.Client] = {}
    with ExitStack() as stack:

        def connect() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            client = httpx.Client(base_url=service.url, headers=headers, verify=NO_TLS)
            stack.enter_context(client)
            stream = client.get("/health").extensions["network_stream"]
            address = stream.get_extra_info("client_addr")
            (process,) = (each for each in processes if _is_connected(each, address))
            clients[process] = client
            return len(clients) == len(processes)

        wait_until(connect)
        yield list(clients.values())


def _is_connected(process: psutil.Process, address: tuple[str, int]) -> bool:
    return any(each.raddr == address for each in process.net_connections("tcp"))


def _command_line(process: psutil.Process) -> str:
    """Return the command line of a process; it is empty if the process has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
