"""A fixture for the tests of clients."""

from pathlib import Path

import pytest

from harness.client_project import ClientProject
from harness.node import find_node, in_ci


@pytest.fixture(scope="session")
def client_project(tmp_path_factory: pytest.TempPathFactory) -> ClientProject:
    """Return a folder with everything that the clients in TypeScript need."""
    node = find_node(Path(__file__).parent)
    if not node:
        message = "NO CLIENT IN TYPESCRIPT WAS TRIED: there is no Node.js with npm here"
        assert not in_ci(), message
        pytest.skip(message)
    node.install()
    return ClientProject(node, tmp_path_factory.mktemp("workshop"))
