"""Fixtures of the tests that speak HTTP to the real service."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from harness.people import Person, someone
from harness.service import SECRET, Service

WAYS = {"compiled": "true", "stock": "false"}
"""The values of the setting COMPILED: the answers must be the same."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that are marked `both_ways` against services of either kind."""
    if "compiled" in metafunc.fixturenames and metafunc.definition.get_closest_marker(
        "both_ways"
    ):
        metafunc.parametrize(
            "compiled", WAYS.values(), ids=WAYS, indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest) -> str:
    """Return the setting COMPILED; where no mark chooses, the environment may."""
    setting: str = getattr(request, "param", os.environ.get("COMPILED") or "true")
    return setting


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the DATA_DIR of the service; its path is as awkward as paths get."""
    return tmp_path_factory.mktemp("it's a dätä dir")


@pytest.fixture(scope="session")
def services(data_dir: Path) -> Iterator[Callable[[str], Service]]:
    """Run a service of each kind from when it is first asked for; they share a database."""
    with ExitStack() as running:

        @cache
        def start(compiled: str) -> Service:
            environment = {
                "DATA_DIR": str(data_dir),
                "BETTER_AUTH_SECRET": SECRET,
                "ACCESS_LOG": "true",
                "LOG_LEVEL": "info",
                "COMPILED": compiled,
            }
            service = Service(environment, data_dir / f"compiled-{compiled}.log")
            running.callback(service.stop)
            return service.wait_until_healthy()

        yield start


@pytest.fixture(scope="session")
def service(services: Callable[[str], Service], compiled: str) -> Service:
    """Run the service, with its embedded PostgreSQL, for all tests that don't harm it."""
    return services(compiled)


@pytest.fixture(scope="session")
def development(data_dir: Path) -> Iterator[Service]:
    """Run the service as `make run` does, with two workers, on the same database."""
    service = Service({"DATA_DIR": str(data_dir), "WORKERS": "2"}, data_dir / "development.log")
    yield service.wait_until_healthy()
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
