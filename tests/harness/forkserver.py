"""Starts commands of the program in forks of a process that has imported it.

Importing takes two of the three seconds of processor time that a service needs to start, and
the tests start hundreds. A fork is otherwise like `python -m cli`: it has a session, an
environment, a working directory and standard streams of its own, runs `cli.main`, and exits
as the interpreter does. The fork server of its workers is a fork, too.
"""

import atexit
import json
import multiprocessing.util
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
MAX_REQUEST = 1 << 18  # bytes

_spawn = multiprocessing.util.__dict__["spawnv_passfds"]  # which has no type


class ForkedProcess:
    """A running command, with what tests need of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        """Start the command `todo-api` with these arguments; it has no standard input."""
        self.args = arguments
        self.returncode: int | None = None
        request = {"arguments": arguments, "cwd": str(cwd), "environment": dict(env)}
        status, of_fork = os.pipe()
        self._status = os.fdopen(status)
        with os.fdopen(of_fork, "w") as report, Path(os.devnull).open() as stdin:
            files = (stdin, stdout, stderr, report)
            socket.send_fds(
                _server(), [json.dumps(request).encode()], [file.fileno() for file in files]
            )
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._read_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._read_status()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_status(self) -> None:
        self.returncode = int(self._status.readline())
        self._status.close()


@cache
def _server() -> socket.socket:
    """Start the process that forks, once; returns the connection to it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            # Not a module, which workers of a service would import as that of their parent.
            [sys.executable, "-c", "from harness.forkserver import main; main()"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=its.fileno(),
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def main() -> None:
    """Fork for each request, until the tests end."""
    # The tests themselves need not import them; a service, only if it has to migrate.
    import cli  # noqa: PLC0415
    import models.alembic_upgrade  # noqa: PLC0415
    import models.tables  # noqa: F401, PLC0415

    import_module("app.preload")  # last, as for the workers of a service

    connection = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 4)
        with suppress(ChildProcessError):  # there is none
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if not message:
            return
        if os.fork() == 0:
            connection.close()
            _fork_command(json.loads(message), *descriptors)
            multiprocessing.util.__dict__["spawnv_passfds"] = _fork_server_of_workers
            sys.exit(cli.main())
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_command(request: dict[str, Any], *descriptors: int) -> None:
    """Return in a new process that is ready to run the command.

    The process that called waits for that one, and reports its process id and exit status.
    """
    *streams, report = descriptors
    pid = os.fork()
    if pid != 0:
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        _, status = os.waitpid(pid, 0)
        os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    os.write(report, f"{os.getpid()}\n".encode())
    os.close(report)


def _fork_server_of_workers(path: bytes, arguments: list[str], descriptors: list[int]) -> int:
    """Do what `multiprocessing.util.spawnv_passfds` does, but fork if it is for a fork server.

    A new interpreter would import the application again.
    """
    code = arguments[-1]
    if not code.startswith("from multiprocessing.forkserver import main"):
        return int(_spawn(path, arguments, descriptors))
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        kept = sorted({0, 1, 2, *descriptors})
        for before, after in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
            os.closerange(before + 1, after)
        exec(code)
    finally:
        os._exit(0)  # what the service does at its exit is not for this process
