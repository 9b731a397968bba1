"""Fixtures of the tests that speak to the database."""

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
    """Run a server with a database that is up to date, for all tests that don't harm it."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.migrate()
        yield cluster


@pytest.fixture
def scratch_db(cluster: Cluster) -> Iterator[Cluster]:
    """Make a database, up to date, that a test may harm."""
    with cluster.new_database() as scratch_db:
        scratch_db.migrate()
        yield scratch_db


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[Database]:
    """Open the database that is common to all."""
    async with open_database(cluster.app) as database:
        yield database
