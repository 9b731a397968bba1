"""Under which conditions something was measured: without them, figures mean nothing."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.dataset import ROOMY, Dataset
from benchmarks.installation import NODE_PEER, PYTHON, node, wrk_path
from benchmarks.machine import layout
from benchmarks.stacks import CONNECTIONS, ROOT, Running

OURS = ("connexion", "uvicorn", "psycopg")
PYTHON_PEERS = ("fastapi", "sqlmodel", "sqlalchemy", "asyncpg", "uvicorn", "orjson")
NODE_PEERS = ("fastify", "pg", "fast-jwt")


def conditions(dataset: Dataset, method: str) -> dict[str, str]:
    """Describe machine, versions and method, each in a line."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "processors": str(layout()),
        "database": f"PostgreSQL {server_version(dataset)}, {ROOMY}, {dataset.rows():,} tasks, "
        f"{CONNECTIONS} connections for each service",
        "this service": f"{python()}, {versions(OURS)}",
        "Python peers": f"the same Python, {peer_versions()}",
        "Node.js peer": f"Node.js {said(*node(), '--version')}, {node_versions()}",
        "load": said(wrk_path(), "--version").partition(" [")[0],
        "method": method,
    }


def peak_memory(services: Iterable[Running]) -> str:
    """Tell how much memory each service has had at most."""
    found = []
    for service in services:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        kibibytes = re.findall(r"VmHWM:\s*([0-9]+)", status)[0]
        found.append(f"{service.stack.title} {int(kibibytes) / 1024:.0f} MiB")
    return "; ".join(found)


def machine() -> str:
    """Describe the machine."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    name = model[1] if model else platform.machine()
    return f"{name}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}"


def python() -> str:
    """Describe this Python: how fast it is depends on who has built it."""
    name = f"Python {platform.python_version()}"
    if sys.base_prefix != "/usr":
        return name
    return f"{name} of {platform.freedesktop_os_release()['PRETTY_NAME']}"


def commit() -> str:
    """Name the commit, and say if there is more than it."""
    name = said("git", "rev-parse", "--short", "HEAD")
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    return f"{name}, with changes" if changed else name


def server_version(dataset: Dataset) -> str:
    """Ask PostgreSQL for its version."""
    return dataset.ask("SHOW server_version")


def versions(names: tuple[str, ...]) -> str:
    """Tell the versions of packages of this environment."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def peer_versions() -> str:
    """Tell the versions of packages of the peers' environment."""
    program = (
        "import sys; from importlib.metadata import version;"
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    return said(str(PYTHON), "-c", program, *PYTHON_PEERS)


def node_versions() -> str:
    """Tell the versions of the packages on Node.js."""
    lock = json.loads((NODE_PEER / "package-lock.json").read_text())
    installed = {
        name: lock["packages"][f"node_modules/{name}"]["version"] for name in NODE_PEERS
    }
    return ", ".join(f"{name} {number}" for name, number in installed.items())


def said(*command: str) -> str:
    """Run a command; return what it says, whatever its status (wrk's is 1)."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.strip()
