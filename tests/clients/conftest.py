"""The fixture that the client tests share."""

from pathlib import Path

import pytest

from harness.node import find_node, in_ci
from harness.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a directory with everything that the TypeScript clients need."""
    node = find_node(Path(__file__).parent)
    if not node:
        message = "NO TYPESCRIPT CLIENT WAS TESTED: Node.js with npm not found"
        assert not in_ci(), message
        pytest.skip(message)
    node.install()
    return Workshop(node, tmp_path_factory.mktemp("workshop"))
