"""The fixture that the authentication tests share."""

from collections.abc import Iterator

import pytest

from harness.anonymous import AnonymousClient
from harness.service import Service


@pytest.fixture(scope="session")
def anonymous(service: Service) -> Iterator[AnonymousClient]:
    """Return a client without a token."""
    with AnonymousClient(service.url) as client:
        yield client
