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
from harness.postgres import Postgres, kill_servers
from harness.service import Serve, Service
from models import embedded, migrate


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a DATA_DIR with a stopped and migrated PostgreSQL, to be copied."""
    place = tmp_path_factory.mktemp("migrated")
    with embedded.running(place) as urls:
        migrate.upgrade(urls.owner, urls.app)
    return place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Name a DATA_DIR that is not there yet; no PostgreSQL in it outlives the test."""
    place = tmp_path / "data"
    yield place
    kill_servers(place / "postgres")
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def filled(place: Path, migrated: Path) -> Path:
    """Name a DATA_DIR with a stopped and migrated PostgreSQL."""
    subprocess.run(["cp", "-a", str(migrated), str(place)], check=True)
    return place


@pytest.fixture
def postgres(filled: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL that is the test's alone."""
    postgres = Postgres(filled / "postgres")
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
