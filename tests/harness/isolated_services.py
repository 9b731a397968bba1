"""Fixtures for tests that need a service and a PostgreSQL of their own."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import command
from harness.cluster import running_cluster
from harness.command import RunInProcess
from harness.postgres import Postgres, kill_postmasters
from harness.service import Serve, Service


@pytest.fixture(scope="session")
def data_dir_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a DATA_DIR with a migrated, stopped PostgreSQL, to be copied."""
    new_data_dir = tmp_path_factory.mktemp("migrated")
    with running_cluster(new_data_dir) as cluster:
        cluster.migrate()
    return new_data_dir


@pytest.fixture
def new_data_dir(tmp_path: Path) -> Iterator[Path]:
    """Return the path of a DATA_DIR to be created; kills its PostgreSQL after the test."""
    new_data_dir = tmp_path / "data"
    yield new_data_dir
    kill_postmasters(new_data_dir / "postgres")
    shutil.rmtree(new_data_dir, ignore_errors=True)


@pytest.fixture
def migrated_data_dir(new_data_dir: Path, data_dir_template: Path) -> Path:
    """Return a DATA_DIR with a migrated, stopped PostgreSQL."""
    subprocess.run(["cp", "-a", str(data_dir_template), str(new_data_dir)], check=True)
    return new_data_dir


@pytest.fixture
def postgres(migrated_data_dir: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL for one test."""
    postgres = Postgres(migrated_data_dir / "postgres")
    try:
        yield postgres
    finally:
        postgres.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts services; they are killed after the test."""
    services: list[Service] = []

    def start(
        environment: Mapping[str, str | None], *arguments: str, **options: Any
    ) -> Service:
        log = tmp_path / f"service {len(services)}.log"
        services.append(Service(environment, log, *arguments, **options))
        return services[-1]

    yield start
    for service in services:
        service.kill()


@pytest.fixture
def run_in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunInProcess:
    """Return a function that runs short commands in this process, a second faster."""
    return partial(command.run_in_process, monkeypatch, capsys)
