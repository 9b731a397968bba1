"""The services under test: how each is installed, configured and started."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from benchmarks.database import DATABASE, DatabaseUrls
from benchmarks.install import (
    COMPETITORS,
    NODE_COMPETITOR,
    PYTHON,
    install_node_competitor,
    install_python_competitors,
    node_command,
)
from benchmarks.scenarios import SECRET

ROOT = Path(__file__).resolve().parents[1]
CANDIDATE = "candidate"
"""The key of the candidate."""
COMPETITOR_DATABASE = "todo_competitors"
"""The database of all competitors, with the tables of `competitors/create_tables.py`."""
CREATE_TABLES = [sys.executable, str(COMPETITORS / "create_tables.py")]
POOL_SIZE = "10"
"""Connections to PostgreSQL, the same number for every service."""

Environment = Mapping[str, str]
Server = Callable[[str, int], list[str]]
"""Returns the command that serves a module's `app` on a port."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service to be measured."""

    key: str
    title: str
    command: Callable[[int], list[str]]
    """Returns the command that starts it on a port; PORT is set in its environment, too."""
    environment: Callable[[DatabaseUrls], Environment]
    directory: Path
    migrate: list[str]
    """The command that creates the tables, unless another service has done so."""
    database: str
    install: Callable[[], None] | None = None
    implements_api: bool = True
    """False for the baseline, which sends the same response to every request."""
    entity_tags: bool = False
    """Whether it responds with 304 to a poll of an unchanged list."""
    workers: int = 1
    """The number of processes that serve."""


def checkout(
    key: str, title: str, directory: Path, database: str = DATABASE, workers: int = 1
) -> Service:
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
        lambda port: [*cli, "serve", f"--workers={workers}", f"--port={port}"],
        environment,
        directory,
        [*cli, "migrate"],
        database,
        entity_tags=True,
        workers=workers,
    )


def candidate(directory: Path) -> Service:
    """Define the candidate: another checkout, with a database of its own."""
    title = f"candidate ({directory.name})"
    return checkout(CANDIDATE, title, directory, database="todo_candidate")


def competitor_environment(urls: DatabaseUrls) -> Environment:
    """Return the environment that all competitors have in common."""
    return {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": urls.owner,
        "POOL_SIZE": POOL_SIZE,
    }


def python_competitor(
    key: str, title: str, server: Server, module: str, *, implements_api: bool = True
) -> Service:
    """Define a competitor in Python."""
    return Service(
        key,
        title,
        lambda port: server(module, port),
        competitor_environment,
        COMPETITORS,
        CREATE_TABLES,
        COMPETITOR_DATABASE,
        install=install_python_competitors,
        implements_api=implements_api,
    )


def uvicorn(module: str, port: int) -> list[str]:
    """Return the command that serves a module's `app` with uvicorn, uvloop and httptools."""
    options = ["--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=warning"]
    return [str(PYTHON), "-m", "uvicorn", f"{module}:app", f"--port={port}", *options]


def granian(module: str, port: int) -> list[str]:
    """Return the command that serves a module's `app` with Granian and uvloop."""
    options = [
        "--interface=asgi",
        "--loop=uvloop",
        "--http=1",
        "--no-ws",
        "--log-level=warning",
    ]
    return [str(PYTHON), "-m", "granian", f"{module}:app", f"--port={port}", *options]


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
        CREATE_TABLES,
        COMPETITOR_DATABASE,
        install=install_node_competitor,
    )


def with_workers(workers: int) -> Service:
    """Define this service with several processes."""
    title = f"this service, {workers} workers"
    return checkout(f"service-{workers}", title, ROOT, workers=workers)


THIS_SERVICE = checkout("service", "this service", ROOT)
COMPETITOR_SERVICES = (
    python_competitor("sqlmodel", "FastAPI + SQLModel", uvicorn, "fastapi_sqlmodel"),
    python_competitor("async", "FastAPI async, tuned", uvicorn, "fastapi_async"),
    python_competitor("litestar", "Litestar + asyncpg", granian, "litestar_msgspec"),
    python_competitor("blacksheep", "BlackSheep + asyncpg", granian, "blacksheep_msgspec"),
    node_competitor("fastify", "Fastify + pg", pipelining=False),
    node_competitor("pipelining", "Fastify + pg, pipelining", pipelining=True),
    python_competitor("libpq", "libpq pipeline (limit)", uvicorn, "libpq_pipeline"),
    python_competitor(
        "baseline", "uvicorn, static response", uvicorn, "baseline", implements_api=False
    ),
)
