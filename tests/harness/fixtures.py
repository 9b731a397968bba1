"""Fixtures of the tests that speak HTTP to the real service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.people import Person, someone
from harness.service import SECRET, Service


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the DATA_DIR of the service; its path is as awkward as paths get."""
    return tmp_path_factory.mktemp("it's a dätä dir")


@pytest.fixture(scope="session")
def service(data_dir: Path) -> Iterator[Service]:
    """Run the service, with its embedded PostgreSQL, for all tests that don't harm it."""
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "ACCESS_LOG": "true",
        "LOG_LEVEL": "info",
    }
    service = Service(environment, data_dir / "service.log")
    try:
        yield service.wait_until_healthy()
    finally:
        service.stop()


@pytest.fixture
def person(service: Service) -> Iterator[Callable[[str], Person]]:
    """Make a person with this user id; they hang up when the test ends."""
    with ExitStack() as people:
        yield lambda user_id: people.enter_context(Person(service.url, user_id))


@pytest.fixture
def alice(person: Callable[[str], Person]) -> Person:
    """Return somebody who has never been here."""
    return person(someone())


@pytest.fixture
def bob(person: Callable[[str], Person]) -> Person:
    """Return somebody else who has never been here."""
    return person(someone())
