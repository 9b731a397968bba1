"""Fixtures for the tests of the models."""

from collections.abc import AsyncIterator, Iterator

import pytest

from harness.cluster import Cluster, open_database, running_cluster
from models.postgres.database import Database


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a server with a migrated database, shared by tests that do not change its schema."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.migrate()
        yield cluster


@pytest.fixture
def scratch_db(cluster: Cluster) -> Iterator[Cluster]:
    """Create a migrated database for one test."""
    with cluster.new_database() as scratch_db:
        scratch_db.migrate()
        yield scratch_db


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[Database]:
    """Open the shared database."""
    async with open_database(cluster.app) as database:
        yield database
