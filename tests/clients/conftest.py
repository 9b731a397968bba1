"""The fixture that the client tests share."""

from pathlib import Path

import pytest

from harness.client_project import ClientProject
from harness.node import find_node, in_ci


@pytest.fixture(scope="session")
def client_project(tmp_path_factory: pytest.TempPathFactory) -> ClientProject:
    """Return a directory with everything that the TypeScript clients need."""
    node = find_node(Path(__file__).parent)
    if not node:
        message = "NO TYPESCRIPT CLIENT WAS TESTED: Node.js with npm not found"
        assert not in_ci(), message
        pytest.skip(message)
    node.install()
    return ClientProject(node, tmp_path_factory.mktemp("workshop"))
