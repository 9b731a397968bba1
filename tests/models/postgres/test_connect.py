"""Several servers in one URL: which of them is used, and what if one of them is down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.cluster import Cluster, new_user_id, open_database, running_cluster
from harness.proxy import Proxy, running_proxy
from harness.waiting import poll_until, time_limit
from models import migrate
from models.errors import Unavailable
from models.postgres.database import Database
from models.postgres.statements import Statement

pytestmark = pytest.mark.anyio

WHO = Statement(b"SELECT current_setting('app.user_id')", (), writes=False)
SIZE = 16  # if half of them are expected, there is no chance that all of them are


def url(cluster: Cluster, *ports: int, options: str = "load_balance_hosts=random") -> str:
    """Return a URL as an operator would write it, for servers on these ports."""
    login = conninfo_to_dict(cluster.app)
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://todo_login:{login['password']}@{hosts}/{cluster.name}?{options}"


@asynccontextmanager
async def two_nodes(cluster: Cluster) -> AsyncIterator[tuple[Proxy, Proxy]]:
    """Make the database reachable as if on two nodes, either of which can be cut off."""
    async with running_proxy(cluster.port) as one, running_proxy(cluster.port) as two:
        yield one, two


async def serves(database: Database) -> bool:
    user = new_user_id()
    try:
        return await database.fetch(user, WHO, {}) == [(user.encode(),)]
    except Unavailable:
        return False


async def test_connections_are_spread_over_all_servers(cluster: Cluster) -> None:
    async with (
        two_nodes(cluster) as nodes,
        open_database(url(cluster, *(node.port for node in nodes)), pool_size=SIZE) as database,
    ):
        assert database.pool_stats.size == SIZE
        assert all(node.recorded for node in nodes)


async def test_a_server_that_is_down_at_start_is_skipped(cluster: Cluster) -> None:
    closed = 1
    async with open_database(url(cluster, closed, cluster.port), pool_size=SIZE) as database:
        assert database.pool_stats.size == SIZE
        assert await serves(database)


async def test_if_one_server_fails_its_connections_move_to_another(cluster: Cluster) -> None:
    async with (
        two_nodes(cluster) as (one, two),
        open_database(url(cluster, one.port, two.port), pool_size=SIZE) as database,
        time_limit(),
    ):

        async def all_served() -> bool:
            requests = (serves(database) for _ in range(100))
            return all(await asyncio.gather(*requests)) and database.pool_stats.size == SIZE

        await one.disconnect()
        await poll_until(all_served)
        assert two.recorded
        assert await all_served()


async def test_a_server_that_is_read_only_is_skipped(cluster: Cluster, tmp_path: Path) -> None:
    password = conninfo_to_dict(cluster.app)["password"]
    with running_cluster(tmp_path) as standby:
        standby.execute(f"ALTER ROLE todo_login PASSWORD '{password}'")
        standby.execute(f"ALTER DATABASE {standby.name} SET default_transaction_read_only = on")
        async with open_database(url(cluster, standby.port, cluster.port)) as database:
            port = Statement(b"SHOW port", (), writes=False)
            for _ in range(10):
                assert await database.fetch("alice", port, {}) == [
                    (f"{cluster.port}".encode(),)
                ]


def test_a_migration_skips_servers_that_are_down_or_read_only(
    scratch_db: Cluster, tmp_path: Path
) -> None:
    owner = conninfo_to_dict(scratch_db.owner)
    with running_cluster(tmp_path) as standby:
        standby.execute(f"ALTER ROLE todo_owner PASSWORD '{owner['password']}'")
        standby.execute(f"CREATE DATABASE {scratch_db.name}")
        standby.execute(
            f"ALTER DATABASE {scratch_db.name} SET default_transaction_read_only = on"
        )
        ports = [1, standby.port, scratch_db.port]
        everywhere = scratch_db.with_params(
            host=",".join(3 * ["127.0.0.1"]), port=",".join(map(str, ports))
        )
        migrate.upgrade(everywhere.owner, scratch_db.app)
        assert standby.with_params(dbname=scratch_db.name).scalar(
            "SELECT to_regnamespace('todo') IS NULL"
        )
