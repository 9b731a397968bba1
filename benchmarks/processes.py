"""Start and stop the services under test, each a single process."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server

import psutil

from benchmarks.cpu import pinned
from benchmarks.database import DatabaseUrls
from benchmarks.install import SetupError, run_command
from benchmarks.services import Service

HOST = "127.0.0.1"
START_TIMEOUT = 60  # seconds
STOP_TIMEOUT = 15  # seconds

# The only variables that services inherit: a setting exported in the shell would change
# what is measured, and a checkout may have settings that this one does not know.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that has been started."""

    service: Service
    port: int
    process: psutil.Process
    log: Path

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://{HOST}:{self.port}"


def migrate(service: Service, urls: DatabaseUrls) -> None:
    """Create a service's tables. Raises SetupError."""
    run_command(service.migrate, service.directory, process_environment(service, urls))


def process_environment(service: Service, urls: DatabaseUrls) -> dict[str, str]:
    """Return the complete environment of a service's process."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **service.environment(urls)}


@contextmanager
def running(
    service: Service, urls: DatabaseUrls, log_directory: Path, cores: set[int]
) -> Iterator[RunningService]:
    """Run a service, pinned to some processors, until the block ends.

    Raises SetupError if it does not start.
    """
    port = free_port()
    log = log_directory / f"{service.key}.log"
    with log.open("wb") as output, pinned(cores):
        process = subprocess.Popen(
            service.command(port),
            cwd=service.directory,
            env={**process_environment(service, urls), "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_listening(service, port, process, log)
        yield RunningService(service, port, psutil.Process(process.pid), log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_listening(
    service: Service, port: int, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until a service sends any response. Raises SetupError with its log otherwise."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection(HOST, port, timeout=START_TIMEOUT)
        try:
            connection.request("GET", "/api/tasks")
            connection.getresponse()
        except ConnectionError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    message = f"{service.title} does not start:\n{log.read_text(errors='replace')}"
    raise SetupError(message)


def free_port() -> int:
    """Return a port that is not in use."""
    with create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
