"""A fixture for the tests of clients."""

from pathlib import Path

import pytest

from harness.node import find_node, in_ci
from harness.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a folder with everything that the clients in TypeScript need."""
    node = find_node(Path(__file__).parent)
    if not node:
        message = "NO CLIENT IN TYPESCRIPT WAS TRIED: there is no Node.js with npm here"
        assert not in_ci(), message
        pytest.skip(message)
    node.install()
    return Workshop(node, tmp_path_factory.mktemp("workshop"))
