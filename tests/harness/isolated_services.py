"""Fixtures for tests that need a service and a PostgreSQL of their own."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import clients, command
from harness.cluster import running_cluster
from harness.command import RunInProcess
from harness.faults import Run, Submit
from harness.postgres import Postgres, kill_postmasters
from harness.service import ROOT, SECRET, Serve, Service, bare_environment


@pytest.fixture(scope="session")
def data_dir_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a DATA_DIR with a migrated, stopped PostgreSQL, to be copied.

    Its copies keep shared memory in their own folder: tests kill them, and never start most of
    them again, which would remove what they have left in /dev/shm.
    """
    new_data_dir = tmp_path_factory.mktemp("migrated")
    with running_cluster(new_data_dir) as cluster:
        cluster.migrate()
        cluster.execute("ALTER SYSTEM SET dynamic_shared_memory_type = mmap")
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


@pytest.fixture
def ordinary_user(new_data_dir: Path) -> tuple[str, ...]:
    """Return the prefix that makes a command an ordinary user's, who owns `place`.

    Where Python or the checkout is below a 0700 home, that user gets the right to read
    everything; never the right to write.
    """
    new_data_dir.mkdir()
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: without setpriv, root cannot become an ordinary user here")
    nobody = pwd.getpwnam("nobody")
    os.chown(new_data_dir, nobody.pw_uid, nobody.pw_gid)
    drop_root = (
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
    )
    reader = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for rights in ((), (*reader, "--securebits=+no_setuid_fixup")):
        prefix = (*drop_root, *rights)
        reading = f"import os, psycopg, settings; os.listdir({str(new_data_dir)!r})"
        attempt = [*prefix, sys.executable, "-c", reading]
        tried = subprocess.run(
            attempt, cwd=ROOT, env=bare_environment(), capture_output=True, check=False
        )
        if tried.returncode == 0:
            return prefix
    pytest.skip("NOT TESTED: no ordinary user can read Python and this checkout here")


@pytest.fixture
def run(postgres: Postgres, serve: Serve, tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs services; fails if their logs contain a secret."""
    tokens: list[str] = []

    def token(user: str) -> str:
        tokens.append(sign(user))
        return tokens[-1]

    sign = clients.token
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "token", token)
        yield lambda *options, port=None, **settings: serve(
            {"ACCESS_LOG": "true", **postgres.environment, **settings}, *options, port=port
        ).wait_until_healthy()
    passwords = postgres.cluster.passwords().values()
    for log in tmp_path.glob("*.log"):
        words = log.read_text()
        assert "Traceback" not in words
        for secret in (SECRET, *passwords, *tokens):
            assert secret not in words


@pytest.fixture
def submit() -> Iterator[Submit]:
    """Return a function that sends a request many times concurrently."""
    with ThreadPoolExecutor(60) as pool:
        yield lambda send, count: [pool.submit(send) for _ in range(count)]
