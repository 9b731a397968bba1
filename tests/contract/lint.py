"""Lint the contract, score it, and compare it with the last released contract.

redocly.yaml and spectral.yaml, beside this file, configure the rules of Redocly, Spectral
and OWASP; released.yaml is the contract of the last release.
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
MIN_SCORE = 90


def main() -> int:
    """Run every check, print the findings, and return the exit status."""
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
    """Report that nothing was checked; return an error status in CI only."""
    print("=" * 72, file=sys.stderr)
    print("THE CONTRACT WAS NOT LINTED: there is no Node.js with npm here.", file=sys.stderr)
    print("Install the development dependencies (make install).", file=sys.stderr)
    print("=" * 72, file=sys.stderr)
    return 1 if in_ci() else 0


def redocly(node: Node) -> list[str]:
    """Return the findings of Redocly, warnings included."""
    linted = report(node, "lint", CONTRACT, "--lint-config=error", "--max-problems=1000")
    return [
        f"{problem['location'][0].get('pointer', CONTRACT)}\n"
        f"    {problem['severity']} {problem['ruleId']}: {problem['message']}"
        for problem in linted["problems"]
    ]


def spectral(node: Node) -> list[str]:
    """Return the findings of Spectral, hints included."""
    program = "node_modules/@stoplight/spectral-cli/dist/index.js"
    options = ["--ruleset=spectral.yaml", "--fail-severity=hint"]
    done = node.run(program, "lint", *options, CONTRACT)
    return [done.stdout + done.stderr] if done.returncode else []


def score(node: Node) -> list[str]:
    """Return the lowest-scoring operations if the score of the contract is too low."""
    scored = report(node, "score", CONTRACT)
    points = scored["agentReadiness"]
    print(f"Redocly scores the contract {points} of 100; the minimum is {MIN_SCORE}.")
    if points >= MIN_SCORE:
        return []
    return [
        f"{spot['method'].upper()} {spot['path']} scores {spot['agentReadinessScore']}: "
        f"{', '.join(spot['reasons'])}"
        for spot in scored["hotspots"]
    ] or ["The score is too low."]


def compatibility(node: Node) -> list[str]:
    """Return the changes that would break clients of the last release."""
    changes = breaking_changes(node, HERE / CONTRACT)
    return [f"This breaks clients: {change}" for change in changes]


if __name__ == "__main__":
    sys.exit(main())
