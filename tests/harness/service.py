"""The real service as a process of its own, as an operator would run it."""

import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO

import httpx
import psutil

from harness.forkserver import ForkedProcess

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests, long enough for HS256"
START_SECONDS = 180
STOP_SECONDS = 90
COMMAND = (sys.executable, "-m", "cli")
"""The program as it is: a new process that imports everything."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients, which would make one each; here is no TLS, and certificates take 24 ms."""

Process = subprocess.Popen[bytes] | ForkedProcess


class Service:
    """`todo-api serve` on a free port of the loopback interface."""

    def __init__(
        self,
        environment: Mapping[str, str | None],
        log: Path,
        *arguments: str,
        port: int | None = None,
        cwd: Path = ROOT,
        prefix: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> None:
        """Start the process; wait with `wait_until_healthy`.

        Its standard error goes to `log`, its standard output to `welcome` beside it. It is a
        fork of a process that has imported the program, unless a command or a prefix is given.
        """
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.welcome = log.with_suffix(".welcome")
        with log.open("ab") as errors, self.welcome.open("ab") as output:
            self.process = start_command(
                *("serve", *arguments),
                command=(*prefix, *(command or COMMAND)) if prefix or command else (),
                cwd=cwd,
                env=bare_environment({"PORT": str(self.port), **environment}),
                stdout=output,
                stderr=errors,
            )

    def wait_until_healthy(self) -> "Service":
        """Wait until it answers; fails with its log if it ends instead."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(f"{self.url}/health", verify=NO_TLS).raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(self.log.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, as an operator or a container would; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """End it and its workers as a power cut would; its PostgreSQL lives on."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """Find the processes that it has started and looks after."""
        if self.process.poll() is not None:
            return []
        return list(psutil.Process(self.process.pid).children(recursive=True))


def start_command(
    *arguments: str,
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> Process:
    """Start the program in a session of its own: a fork, or `command` if it is not empty.

    With the session, `Service.kill` finds workers that have lost their parent.
    """
    if not command:
        return ForkedProcess(arguments, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
    return subprocess.Popen(
        [*command, *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


Serve = Callable[..., Service]
"""What the fixture `serve` is: it takes the arguments of a Service, but for the log."""


def free_port() -> int:
    """Return a free port outside of the ephemeral range."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)  # below what systems give away by chance
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens on a port of the loopback interface; fail if it ends."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(process.args)


def bare_environment(
    changes: Mapping[str, str | None] = MappingProxyType({}),
) -> dict[str, str]:
    """Return this process's environment without any setting of the service, but for these.

    None leaves a setting to `.env`.
    """
    import settings  # noqa: PLC0415 (the module under test)

    empty = dict.fromkeys(settings.NAMES, "")  # wins over a developer's own .env
    kind = {"DATABASE_KIND": os.environ.get("TEST_DATABASE_KIND", "")}
    environment = {**os.environ, **empty, **kind, "PYTHONPATH": str(ROOT), **changes}
    return {name: value for name, value in environment.items() if value is not None}
