"""Fixtures of the tests that stop, kill and starve what they work with."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import command
from harness.command import Typed
from harness.postgres import Postgres, kill_postmasters
from harness.service import Serve, Service
from models import embedded, migrate


@pytest.fixture(scope="session")
def data_dir_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a DATA_DIR with a stopped and migrated PostgreSQL, to be copied."""
    new_data_dir = tmp_path_factory.mktemp("migrated")
    with embedded.running(new_data_dir) as urls:
        migrate.upgrade(urls.owner, urls.app)
    return new_data_dir


@pytest.fixture
def new_data_dir(tmp_path: Path) -> Iterator[Path]:
    """Name a DATA_DIR that is not there yet; no PostgreSQL in it outlives the test."""
    new_data_dir = tmp_path / "data"
    yield new_data_dir
    kill_postmasters(new_data_dir / "postgres")
    shutil.rmtree(new_data_dir, ignore_errors=True)


@pytest.fixture
def migrated_data_dir(new_data_dir: Path, data_dir_template: Path) -> Path:
    """Name a DATA_DIR with a stopped and migrated PostgreSQL."""
    subprocess.run(["cp", "-a", str(data_dir_template), str(new_data_dir)], check=True)
    return new_data_dir


@pytest.fixture
def postgres(migrated_data_dir: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL that is the test's alone."""
    postgres = Postgres(migrated_data_dir / "postgres")
    try:
        yield postgres
    finally:
        postgres.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start services that end with the test at the latest, and their workers, too."""
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
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run commands that end soon in this process, which is a second quicker."""
    return partial(command.typed, monkeypatch, capsys)
