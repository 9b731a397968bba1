"""A project outside the repository, where clients are generated, compiled and run."""

import shutil
from pathlib import Path

from harness.node import Node, ToolError
from openapi import contract

NODE_MODULES = "node_modules"
TSC = f"{NODE_MODULES}/typescript/bin/tsc"
SOURCES = {".json", ".mjs", ".ts"}
OPENAPI_TYPESCRIPT = f"{NODE_MODULES}/openapi-typescript/bin/cli.js"


class ClientProject:
    """A folder with the contract, its TypeScript types, and hand-written sources."""

    def __init__(self, node: Node, folder: Path) -> None:
        """Copy the sources of `node`'s folder, and link its installed packages.

        Raises ToolError.
        """
        self.folder = folder
        self._node = Node(node.node, node.npm, folder)
        (folder / NODE_MODULES).symlink_to(node.folder / NODE_MODULES)
        sources = [path for path in node.folder.iterdir() if path.suffix in SOURCES]
        for file in [contract.PATH, *sources]:
            shutil.copy(file, folder)
        self.run(OPENAPI_TYPESCRIPT, contract.PATH.name, "--output", "todo-api.d.ts")

    def run(self, program: str, *arguments: str) -> str:
        """Run a program; return its output. Raises ToolError if it fails."""
        done = self._node.run(program, *arguments)
        if done.returncode:
            raise ToolError(done)
        return done.stdout

    def compile(self, *arguments: str) -> None:
        """Run the TypeScript compiler. Raises ToolError with its errors."""
        self.run(TSC, *arguments)
