"""Fixtures for tests that need a database."""

from collections.abc import AsyncIterator, Iterator

import pytest

from harness.binaries import OTHER_BINARIES, OtherBinaries
from harness.cluster import Cluster, open_database, running_cluster
from models.postgres.database import Database


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def other_binaries() -> Iterator[None]:
    """Run the PostgreSQL of TEST_POSTGRES_BIN, if it is set."""
    with pytest.MonkeyPatch.context() as patch:
        if OTHER_BINARIES:
            patch.setattr("models.embedded.cluster.Binaries", OtherBinaries)
        yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a server with a migrated database, shared by tests that do not change its schema."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.migrate()
        yield cluster


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> Iterator[str]:
    """Create a migrated database to be copied, rather than migrate one for each test."""
    with cluster.new_database() as migrated:
        migrated.migrate()
        yield migrated.name


@pytest.fixture
def scratch_db(cluster: Cluster, migrated_template: str) -> Iterator[Cluster]:
    """Create a migrated database for one test."""
    with cluster.new_database(migrated_template) as scratch_db:
        yield scratch_db


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[Database]:
    """Open the shared database."""
    async with open_database(cluster.app) as database:
        yield database
