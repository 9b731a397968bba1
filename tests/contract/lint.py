"""Hold the contract to the rules of Redocly, Spectral and OWASP, and to a score.

The rules are in redocly.yaml and spectral.yaml, beside this file.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.node import Node, ToolError, find_node, in_ci

HERE = Path(__file__).resolve().parent
CONTRACT = "../../openapi/openapi.yaml"
LEAST_SCORE = 90


def main() -> int:
    """Lint the contract; answer 0 if nothing was found."""
    node = find_node(HERE)
    if not node:
        return without_node()
    try:
        node.install()
        findings = [*redocly(node), *spectral(node), *score(node)]
    except ToolError as error:
        findings = [str(error)]
    print(*(findings or ["The contract is clean."]), sep="\n")
    return 1 if findings else 0


def without_node() -> int:
    """Say that nothing was checked; that is an error in CI only."""
    print("=" * 72, file=sys.stderr)
    print("THE CONTRACT WAS NOT LINTED: there is no Node.js with npm here.", file=sys.stderr)
    print("Install the development dependencies (make install).", file=sys.stderr)
    print("=" * 72, file=sys.stderr)
    return 1 if in_ci() else 0


def redocly(node: Node) -> list[str]:
    """Answer what Redocly finds; a warning counts as much as an error."""
    report = redocly_json(node, "lint", "--lint-config=error", "--max-problems=1000")
    return [
        f"{problem['location'][0].get('pointer', CONTRACT)}\n"
        f"    {problem['severity']} {problem['ruleId']}: {problem['message']}"
        for problem in report["problems"]
    ]


def spectral(node: Node) -> list[str]:
    """Answer what Spectral finds; a hint counts as much as an error."""
    program = "node_modules/@stoplight/spectral-cli/dist/index.js"
    options = ["--ruleset=spectral.yaml", "--fail-severity=hint"]
    done = node.run(program, "lint", *options, CONTRACT)
    return [done.stdout + done.stderr] if done.returncode else []


def score(node: Node) -> list[str]:
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


def redocly_json(node: Node, command: str, *options: str) -> Any:
    """Run a command of Redocly on the contract and read its report."""
    program = "node_modules/@redocly/cli/bin/cli.js"
    config = ["--config=redocly.yaml", "--format=json"]
    done = node.run(program, command, CONTRACT, *config, *options)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise ToolError(done) from None
    if done.returncode and not report.get("problems"):
        raise ToolError(done)
    return report


if __name__ == "__main__":
    sys.exit(main())
