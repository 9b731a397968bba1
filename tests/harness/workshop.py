"""A folder outside the repository where clients are generated, compiled and run."""

import shutil
from pathlib import Path

from harness.node import Node, ToolError
from openapi import contract

MODULES = "node_modules"
TSC = f"{MODULES}/typescript/bin/tsc"
SOURCES = {".json", ".mjs", ".ts"}
OPENAPI_TYPESCRIPT = f"{MODULES}/openapi-typescript/bin/cli.js"


class Workshop:
    """The contract, its types in TypeScript, sources written by hand, and Node.js."""

    def __init__(self, node: Node, folder: Path) -> None:
        """Take to a new folder what is in that of `node`, and what npm has installed there.

        Raises ToolError.
        """
        self.folder = folder
        self._node = Node(node.node, node.npm, folder)
        (folder / MODULES).symlink_to(node.folder / MODULES)
        by_hand = [each for each in node.folder.iterdir() if each.suffix in SOURCES]
        for file in [contract.PATH, *by_hand]:
            shutil.copy(file, folder)
        self.runs(OPENAPI_TYPESCRIPT, contract.PATH.name, "--output", "todo-api.d.ts")

    def runs(self, program: str, *arguments: str) -> str:
        """Run a program to its good end; return what it printed. Raises ToolError."""
        done = self._node.run(program, *arguments)
        if done.returncode:
            raise ToolError(done)
        return done.stdout

    def compiles(self, *arguments: str) -> None:
        """Have TypeScript look for errors. Raises ToolError, which tells them."""
        self.runs(TSC, *arguments)
