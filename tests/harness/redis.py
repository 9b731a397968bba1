"""A Redis for one test."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from harness.node import in_ci
from harness.service import free_port

REDIS = shutil.which("redis-server")
MISSING = "REDIS IS NOT INSTALLED: limits that processes share are not tested (apt has it)"
PASSWORD = "hunter2"


class Redis:
    """`redis-server` on a free port of the loopback interface."""

    def __init__(self, folder: Path) -> None:
        """Start it, with its log in `folder`."""
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/1"
        self._log = folder / "redis.log"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers; it has nothing of before."""
        options = f"--port {self.port} --bind 127.0.0.1 --requirepass {PASSWORD}".split()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(REDIS), *options, "--save", ""], stdout=log, stderr=log
            )
        with redis.Redis.from_url(self.url) as client:
            while True:
                assert self._process.poll() is None, self._log.read_text()
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return

    def keys(self) -> int:
        """Return how many keys it has."""
        with redis.Redis.from_url(self.url) as client:
            return len(client.keys())

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Stop it from answering; it still accepts connections."""
        os.kill(self._process.pid, signal.SIGSTOP)


@contextmanager
def running_redis(folder: Path) -> Iterator[Redis]:
    """Run a Redis; without one installed, fail in CI, else skip."""
    if REDIS is None:
        if in_ci():
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = Redis(folder)
    try:
        yield server
    finally:
        server.kill()
