"""Hold the contract to rules, to a score, and to what was promised with the last release.

The rules of Redocly, Spectral and OWASP are in redocly.yaml and spectral.yaml, beside
this file; the contract of the last release is released.yaml.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.compatibility import breaking_changes
from harness.node import Node, ToolError, find_node, in_ci
from harness.redocly import report

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
        findings = [*redocly(node), *spectral(node), *score(node), *compatibility(node)]
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
    linted = report(node, "lint", CONTRACT, "--lint-config=error", "--max-problems=1000")
    return [
        f"{problem['location'][0].get('pointer', CONTRACT)}\n"
        f"    {problem['severity']} {problem['ruleId']}: {problem['message']}"
        for problem in linted["problems"]
    ]


def spectral(node: Node) -> list[str]:
    """Answer what Spectral finds; a hint counts as much as an error."""
    program = "node_modules/@stoplight/spectral-cli/dist/index.js"
    options = ["--ruleset=spectral.yaml", "--fail-severity=hint"]
    done = node.run(program, "lint", *options, CONTRACT)
    return [done.stdout + done.stderr] if done.returncode else []


def score(node: Node) -> list[str]:
    """Answer the operations that cost most if the contract scores too little."""
    scored = report(node, "score", CONTRACT)
    points = scored["agentReadiness"]
    print(f"Redocly scores the contract {points} of 100; at least {LEAST_SCORE} is asked for.")
    if points >= LEAST_SCORE:
        return []
    return [
        f"{spot['method'].upper()} {spot['path']} scores {spot['agentReadinessScore']}: "
        f"{', '.join(spot['reasons'])}"
        for spot in scored["hotspots"]
    ] or ["The score is too low."]


def compatibility(node: Node) -> list[str]:
    """Answer what would break the clients of the last release."""
    changes = breaking_changes(node, HERE / CONTRACT)
    return [f"This breaks clients: {change}" for change in changes]


if __name__ == "__main__":
    sys.exit(main())
