"""A fixture for the tests of who is asking."""

from collections.abc import Iterator

import pytest

from harness.service import Service
from harness.strangers import Stranger


@pytest.fixture(scope="session")
def stranger(service: Service) -> Iterator[Stranger]:
    """Return somebody without a token."""
    with Stranger(service.url) as client:
        yield client
