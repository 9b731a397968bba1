"""A ledger of writes over faults of everything that the service depends on.

In each case no acknowledged write is lost, no client gets another user's task, and all of
them are served again without help, within seconds. `pytest -rP` shows how many.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from harness.pgbouncer import PgBouncer, requires_pgbouncer
from harness.postgres import Postgres, wait_until
from harness.proxy import running_proxy
from harness.service import Serve
from harness.workers import server_processes
from harness.write_ledger import WriteLedger

pytest_plugins = ["harness.isolated_services"]

DISK = 200  # MB, several times the size of an empty cluster


def test_no_write_is_lost_when_a_worker_is_killed(postgres: Postgres, serve: Serve) -> None:
    service = serve(postgres.environment, "--workers", "2").wait_until_healthy()
    with WriteLedger(service.url, service_may_die=True) as ledger:
        for _ in range(3):
            wait_until(lambda: len(server_processes(service)) == 2)
            server_processes(service).pop().kill()
            ledger.check_recovery("a worker was killed")
    ledger.verify(service.url)
    assert set(ledger.counts) <= {200, 201, "broken"}


def test_no_write_is_lost_when_the_network_is_cut(postgres: Postgres, serve: Serve) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_proxy(postgres.port)) as proxy,
    ):
        url = postgres.urls.app.replace(f":{postgres.port}/", f":{proxy.port}/")
        limits = {"DATABASE_STATEMENT_TIMEOUT": "1", "DATABASE_QUEUE_TIMEOUT": "1"}
        service = serve({**postgres.environment, "DATABASE_URL": url, **limits})
        with WriteLedger(service.wait_until_healthy().url) as ledger:
            for _ in range(2):
                portal.call(proxy.disconnect)
                ledger.wait_for(503)
                portal.call(proxy.listen)
                ledger.check_recovery("the network was cut")
                portal.call(proxy.pause)
                ledger.wait_for(503)
                portal.call(proxy.resume)
                ledger.check_recovery("the network was silent")
        ledger.verify(service.url)
        assert set(ledger.counts) == {200, 201, 503}


@requires_pgbouncer
def test_no_write_is_lost_when_pgbouncer_is_killed(
    postgres: Postgres, serve: Serve, tmp_path: Path
) -> None:
    pgbouncer = PgBouncer(postgres.database, tmp_path)
    url = postgres.urls.app.replace(f":{postgres.port}/", f":{pgbouncer.port}/")
    service = serve({**postgres.environment, "DATABASE_URL": url}).wait_until_healthy()
    with WriteLedger(service.url, writers=6, users=2) as ledger:
        for _ in range(3):
            ledger.wait_for(201, 40)
            pgbouncer.kill()
            ledger.wait_for(503)
            pgbouncer.start()
            ledger.check_recovery("PgBouncer was killed")
    ledger.verify(service.url)
    pgbouncer.stop()
    assert set(ledger.counts) == {200, 201, 503}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of DISK megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=0777", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("a full disk needs root, who may mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def postgres_on_a_small_disk(small_disk: Path, data_dir_template: Path) -> Iterator[Postgres]:
    subprocess.run(["cp", "-a", str(data_dir_template), str(small_disk / "data")], check=True)
    postgres = Postgres(small_disk / "data" / "postgres")
    yield postgres
    postgres.kill()


def test_no_write_is_lost_when_the_disk_is_full(
    postgres_on_a_small_disk: Postgres, small_disk: Path, serve: Serve
) -> None:
    postgres = postgres_on_a_small_disk
    service = serve(postgres.environment).wait_until_healthy()
    with WriteLedger(service.url) as ledger:
        for _ in range(2):
            with full(small_disk):
                ledger.wait_for(503)
            if not postgres.cluster.alive():  # PostgreSQL ends if it cannot write its log
                postgres.start()
            ledger.check_recovery("the disk was full")
    ledger.verify(service.url)
    assert set(ledger.counts) == {200, 201, 503}


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no space on a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass
    try:
        yield
    finally:
        ballast.unlink()
