"""The environment of a measurement: machine, versions and method."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.cpu import cpu_layout
from benchmarks.database import DATABASE, SHARED_BUFFERS
from benchmarks.dataset import Dataset
from benchmarks.install import (
    COMPETITORS,
    NODE_COMPETITOR,
    PYTHON,
    node_command,
    wrk_path,
)
from benchmarks.services import CANDIDATE, POOL_SIZE, ROOT
from benchmarks.testbed import Testbed

SERVICE_PACKAGES = ("connexion", "uvicorn", "psycopg")
PYTHON_PACKAGES = (
    *("fastapi", "sqlmodel", "sqlalchemy", "litestar", "blacksheep", "asyncpg", "msgspec"),
    *("uvicorn", "granian"),
)
NODE_PACKAGES = ("fastify", "pg", "fast-jwt")


def describe(testbed: Testbed, method: str) -> dict[str, str]:
    """Describe machine, versions and method, a line for each."""
    services = {running.service.key: running.service for running in testbed.services}
    directories = {service.directory for service in services.values()}
    lines = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": commit(ROOT),
        "machine": machine(),
        "processors": str(cpu_layout(max(service.workers for service in services.values()))),
        "database": database(testbed.datasets[DATABASE]),
        "this service": f"{python()}, {versions(SERVICE_PACKAGES)}",
    }
    if CANDIDATE in services:
        lines["candidate"] = commit(services[CANDIDATE].directory)
    if COMPETITORS in directories:
        lines["Python competitors"] = f"the same Python, {python_competitor_versions()}"
    if NODE_COMPETITOR in directories:
        node = command_output(*node_command(), "--version")
        lines["Node.js competitor"] = f"Node.js {node}, {node_competitor_versions()}"
    return {
        **lines,
        "load": command_output(wrk_path(), "--version").partition(" [")[0],
        "method": method,
    }


def machine() -> str:
    """Describe the machine."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    name = model[1] if model else platform.machine()
    return f"{name}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}"


def database(dataset: Dataset) -> str:
    """Describe the database server, its data and the services' connections."""
    server_version = dataset.fetch_value("SHOW server_version")
    return (
        f"PostgreSQL {server_version}, {SHARED_BUFFERS}, {dataset.count_tasks():,} tasks, "
        f"{POOL_SIZE} connections per service"
    )


def python() -> str:
    """Describe this Python, including the distribution: builds differ in speed."""
    name = f"Python {platform.python_version()}"
    if sys.base_prefix != "/usr":
        return name
    return f"{name} of {platform.freedesktop_os_release()['PRETTY_NAME']}"


def commit(checkout: Path) -> str:
    """Return a checkout's commit, and whether there are uncommitted changes."""
    git = ("git", "-C", str(checkout))
    name = command_output(*git, "rev-parse", "--short", "HEAD")
    changes = command_output(*git, "status", "--porcelain", "--untracked-files=no")
    return f"{name}, with uncommitted changes" if changes else name


def versions(packages: tuple[str, ...]) -> str:
    """Return the versions of packages in this virtual environment."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def python_competitor_versions() -> str:
    """Return the versions of packages in the competitors' virtual environment."""
    program = (
        "import sys; from importlib.metadata import version;"
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    return command_output(str(PYTHON), "-c", program, *PYTHON_PACKAGES)


def node_competitor_versions() -> str:
    """Return the versions of the Node.js competitor's packages."""
    lock = json.loads((NODE_COMPETITOR / "package-lock.json").read_text())
    packages = lock["packages"]
    return ", ".join(
        f"{name} {packages[f'node_modules/{name}']['version']}" for name in NODE_PACKAGES
    )


def command_output(*command: str) -> str:
    """Return a command's output, whatever its exit status (wrk --version exits with 1)."""
    completed = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return completed.stdout.strip()
