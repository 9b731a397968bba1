"""Fixtures for tests that send HTTP requests to the real service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.clients import AuthedClient, new_user_id
from harness.cluster import OTHER_DATABASE, Cluster, running_cluster
from harness.service import SECRET, Service


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the DATA_DIR of the service; its path needs quoting and encoding."""
    return tmp_path_factory.mktemp("it's a dätä dir")


@pytest.fixture(scope="session")
def service(data_dir: Path) -> Iterator[Service]:
    """Run the service, with its embedded PostgreSQL; shared by tests that never stop it.

    What these tests run instead is not the service's own.
    """
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "ACCESS_LOG": "true",
        "LOG_LEVEL": "info",
        "HEAD_TIMEOUT": "3",
    }
    with ExitStack() as stack:
        if OTHER_DATABASE:
            cluster = stack.enter_context(running_cluster(data_dir))
            cluster.migrate()
            environment |= {
                "DATABASE_URL": cluster.app,
                "MIGRATION_DATABASE_URL": cluster.owner,
            }
        service = Service(environment, data_dir / "service.log")
        yield service.wait_until_healthy()
        service.stop()


@pytest.fixture(scope="session")
def service_db(service: Service, data_dir: Path) -> Iterator[Cluster]:  # noqa: ARG001 (it migrates)
    """Return the database of the shared service, for what no client can do."""
    with running_cluster(data_dir) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dev_service(data_dir: Path) -> Iterator[Service]:
    """Run a service in development mode, as `make run` does, on the same database."""
    service = Service({"DATA_DIR": str(data_dir), "WORKERS": "2"}, data_dir / "development.log")
    yield service.wait_until_healthy()
    service.stop()


@pytest.fixture
def make_client(service: Service) -> Iterator[Callable[[str], AuthedClient]]:
    """Return a function that makes a client for a user id; closed after the test."""
    with ExitStack() as clients:
        yield lambda user_id: clients.enter_context(AuthedClient(service.url, user_id))


@pytest.fixture
def alice(make_client: Callable[[str], AuthedClient]) -> AuthedClient:
    """Return the client of a new user."""
    return make_client(new_user_id())


@pytest.fixture
def bob(make_client: Callable[[str], AuthedClient]) -> AuthedClient:
    """Return the client of another new user."""
    return make_client(new_user_id())
