"""The command line of Redocly, configured in tests/contract."""

import json
from typing import Any

from harness.node import Node, ToolError

PROGRAM = "node_modules/@redocly/cli/bin/cli.js"


def report(node: Node, command: str, *arguments: str) -> Any:
    """Run a command with the rules of redocly.yaml; return its report.

    Raises ToolError if there is none.
    """
    config = ["--config=redocly.yaml", "--format=json"]
    done = node.run(PROGRAM, command, *arguments, *config)
    try:
        read = json.loads(done.stdout)
    except ValueError:
        raise ToolError(done) from None
    if done.returncode and not (read.get("problems") or read.get("changes")):
        raise ToolError(done)
    return read
