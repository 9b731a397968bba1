"""The services that are compared, each one process, and how they are started."""

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

import settings
from benchmarks.dataset import Urls
from benchmarks.installation import NODE_PEER, PEERS, PYTHON, node
from benchmarks.machine import on
from benchmarks.scenarios import SECRET

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
CONNECTIONS = "10"
"""Connections to PostgreSQL: as many for everybody."""
START_SECONDS = 30
STOP_SECONDS = 15

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stack:
    """One service to be measured."""

    key: str
    title: str
    command: Callable[[int], list[str]]
    """How to start it on a port, which the variable PORT tells, too."""
    environment: Callable[[Urls], Environment]
    folder: Path
    answers: bool = True
    """Whether it does the work; the floor only pretends."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs."""

    stack: Stack
    port: int
    process: psutil.Process
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"


def service(key: str, title: str, checkout: Path) -> Stack:
    """Describe this service, as a checkout has it."""

    def environment(urls: Urls) -> Environment:
        return {
            **dict.fromkeys(settings.NAMES, ""),  # wins over a developer's own .env
            "BETTER_AUTH_SECRET": SECRET,
            "DATABASE_URL": urls.serving,
            "MIGRATION_DATABASE_URL": urls.owner,
            "DATABASE_POOL_SIZE": CONNECTIONS,
            "LOG_LEVEL": "warning",
            "PYTHONPATH": str(checkout),
        }

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "cli", "serve", "--workers=1", f"--port={port}"]

    return Stack(key, title, command, environment, checkout)


def of_peers(urls: Urls) -> Environment:
    """Return what every peer is told."""
    return {"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": urls.peer, "POOL_SIZE": CONNECTIONS}


def on_uvicorn(key: str, title: str, module: str, *, answers: bool = True) -> Stack:
    """Describe a peer on uvicorn, with uvloop and httptools."""

    def command(port: int) -> list[str]:
        options = ["--loop=uvloop", "--http=httptools", "--no-access-log", f"--port={port}"]
        return [str(PYTHON), "-m", "uvicorn", f"{module}:app", "--log-level=warning", *options]

    return Stack(key, title, command, of_peers, PEERS, answers)


def on_node(key: str, title: str, *, pipelining: bool) -> Stack:
    """Describe the peer on Node.js."""

    def environment(urls: Urls) -> Environment:
        switch = "on" if pipelining else "off"
        return {**of_peers(urls), "NODE_ENV": "production", "PIPELINING": switch}

    def command(_port: int) -> list[str]:
        return [*node(), "server.js"]

    return Stack(key, title, command, environment, NODE_PEER)


OURS = service("service", "this service", ROOT)
STACKS = (
    OURS,
    on_uvicorn("sqlmodel", "FastAPI + SQLModel", "fastapi_sqlmodel"),
    on_uvicorn("async", "FastAPI async, tuned", "fastapi_async"),
    on_node("fastify", "Fastify + pg", pipelining=False),
    on_node("pipelining", "Fastify + pg, pipelining", pipelining=True),
    on_uvicorn("floor", "uvicorn, a constant", "constant", answers=False),
)


@contextmanager
def running(stack: Stack, urls: Urls, logs: Path, cores: set[int]) -> Iterator[Running]:
    """Run a service on some processors; it ends with the block."""
    port = free_port()
    log = logs / f"{stack.key}.log"
    with log.open("wb") as output, on(cores):
        process = subprocess.Popen(
            stack.command(port),
            cwd=stack.folder,
            env={**os.environ, **stack.environment(urls), "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_listening(stack, port, process, log)
        yield Running(stack, port, psutil.Process(process.pid), log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_listening(
    stack: Stack, port: int, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until a service answers, whatever it says; fails with its log if it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection(HOST, port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/api/tasks")
            connection.getresponse()
        except ConnectionError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    message = f"{stack.title} does not start:\n{log.read_text(errors='replace')}"
    raise RuntimeError(message)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
