"""A fixture for the tests of who is asking."""

from collections.abc import Iterator

import pytest

from harness.anonymous import AnonymousClient
from harness.service import Service


@pytest.fixture(scope="session")
def anonymous(service: Service) -> Iterator[AnonymousClient]:
    """Return somebody without a token."""
    with AnonymousClient(service.url) as client:
        yield client
