"""The real service as a process of its own, as an operator would run it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests, long enough for HS256"
START_SECONDS = 60


class Service:
    """`todo-api serve` on a free port of the loopback interface."""

    def __init__(self, environment: Mapping[str, str], log: Path, *arguments: str) -> None:
        """Start the process; wait with `wait_until_healthy`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "serve", *arguments],
                cwd=ROOT,
                env=bare_environment() | {"PORT": str(self.port)} | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait_until_healthy(self) -> "Service":
        """Wait until it answers; fails with its log if it ends instead."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(f"{self.url}/health").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        """Ask it to end, as an operator or a container would; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def bare_environment() -> dict[str, str]:
    """Return this process's environment without any setting of the service."""
    import settings  # noqa: PLC0415 (the module under test)

    empty = dict.fromkeys(settings.NAMES, "")  # wins over a developer's own .env
    return {**os.environ, **empty, "PYTHONPATH": str(ROOT)}
