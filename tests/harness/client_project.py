"""A folder outside the repository where clients are generated, compiled and run."""

import shutil
from pathlib import Path

from harness.node import Node, ToolError
from openapi import contract

NODE_MODULES = "node_modules"
TSC = f"{NODE_MODULES}/typescript/bin/tsc"
SOURCES = {".json", ".mjs", ".ts"}
OPENAPI_TYPESCRIPT = f"{NODE_MODULES}/openapi-typescript/bin/cli.js"


class ClientProject:
    """The contract, its types in TypeScript, sources written by hand, and Node.js."""

    def __init__(self, node: Node, folder: Path) -> None:
        """Take to a new folder what is in that of `node`, and what npm has installed there.

        Raises ToolError.
        """
        self.folder = folder
        self._node = Node(node.node, node.npm, folder)
        (folder / NODE_MODULES).symlink_to(node.folder / NODE_MODULES)
        by_hand = [each for each in node.folder.iterdir() if each.suffix in SOURCES]
        for file in [contract.PATH, *by_hand]:
            shutil.copy(file, folder)
        self.run(OPENAPI_TYPESCRIPT, contract.PATH.name, "--output", "todo-api.d.ts")

    def run(self, program: str, *arguments: str) -> str:
        """Run a program to its good end; return what it printed. Raises ToolError."""
        done = self._node.run(program, *arguments)
        if done.returncode:
            raise ToolError(done)
        return done.stdout

    def compile(self, *arguments: str) -> None:
        """Have TypeScript look for errors. Raises ToolError, which tells them."""
        self.run(TSC, *arguments)
