"""The services under test, each a single process, and how they are started."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server

import psutil
from dotenv import dotenv_values

from benchmarks.cpu import pinned
from benchmarks.database import DATABASE, DatabaseUrls
from benchmarks.install import (
    COMPETITORS,
    NODE_COMPETITOR,
    PYTHON,
    SetupError,
    install_node_competitor,
    install_python_competitors,
    node_command,
    run_command,
)
from benchmarks.scenarios import SECRET

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
POOL_SIZE = "10"
"""Connections to PostgreSQL, the same number for every service."""
START_TIMEOUT = 30  # seconds
STOP_TIMEOUT = 15  # seconds

# The only variables that services inherit: a setting exported in the shell would change
# what is measured, and a checkout may have settings that this one does not know.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """A service to be measured."""

    key: str
    title: str
    command: Callable[[int], list[str]]
    """Returns the command that starts it on a port; PORT is set in its environment, too."""
    environment: Callable[[DatabaseUrls], Environment]
    directory: Path
    install: Callable[[], None] | None = None
    migrate: list[str] | None = None
    """The command that creates the tables in `database`; None if another service does."""
    database: str = DATABASE
    implements_api: bool = True
    """False for the baseline, which sends the same response to every request."""


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


def checkout(key: str, title: str, directory: Path, database: str = DATABASE) -> Service:
    """Define this service as found in a checkout, with a database migrated by it."""

    def environment(urls: DatabaseUrls) -> Environment:
        return {
            **dict.fromkeys(dotenv_values(directory / ".env"), ""),  # overrides the file
            "BETTER_AUTH_SECRET": SECRET,
            "DATABASE_URL": urls.app,
            "MIGRATION_DATABASE_URL": urls.owner,
            "DATABASE_POOL_SIZE": POOL_SIZE,
            "LOG_LEVEL": "warning",
            "PYTHONPATH": str(directory),
        }

    cli = [sys.executable, "-m", "cli"]
    return Service(
        key,
        title,
        lambda port: [*cli, "serve", "--workers=1", f"--port={port}"],
        environment,
        directory,
        migrate=[*cli, "migrate"],
        database=database,
    )


def candidate(directory: Path) -> Service:
    """Define the candidate: another checkout, with a database of its own."""
    title = f"candidate ({directory.name})"
    return checkout("candidate", title, directory, database="todo_candidate")


def competitor_environment(urls: DatabaseUrls) -> Environment:
    """Return the environment that all competitors have in common."""
    return {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": urls.competitor,
        "POOL_SIZE": POOL_SIZE,
    }


def uvicorn_competitor(
    key: str, title: str, module: str, *, implements_api: bool = True
) -> Service:
    """Define a competitor that runs on uvicorn, with uvloop and httptools."""

    def command(port: int) -> list[str]:
        options = ["--loop=uvloop", "--http=httptools", "--no-access-log", f"--port={port}"]
        return [str(PYTHON), "-m", "uvicorn", f"{module}:app", "--log-level=warning", *options]

    return Service(
        key,
        title,
        command,
        competitor_environment,
        COMPETITORS,
        install=install_python_competitors,
        implements_api=implements_api,
    )


def node_competitor(key: str, title: str, *, pipelining: bool) -> Service:
    """Define the competitor that runs on Node.js."""

    def environment(urls: DatabaseUrls) -> Environment:
        return {
            **competitor_environment(urls),
            "NODE_ENV": "production",
            "PIPELINING": "on" if pipelining else "off",
        }

    return Service(
        key,
        title,
        lambda _port: [*node_command(), "server.js"],
        environment,
        NODE_COMPETITOR,
        install=install_node_competitor,
    )


THIS_SERVICE = checkout("service", "this service", ROOT)
COMPETITOR_SERVICES = (
    uvicorn_competitor("sqlmodel", "FastAPI + SQLModel", "fastapi_sqlmodel"),
    uvicorn_competitor("async", "FastAPI async, tuned", "fastapi_async"),
    node_competitor("fastify", "Fastify + pg", pipelining=False),
    node_competitor("pipelining", "Fastify + pg, pipelining", pipelining=True),
    uvicorn_competitor(
        "baseline", "uvicorn, static response", "baseline", implements_api=False
    ),
)


def migrate(service: Service, urls: DatabaseUrls) -> None:
    """Run a checkout's own migrations. Raises SetupError."""
    assert service.migrate is not None
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
