"""The command `todo-api`, as a process or within the test process."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

import cli
from harness.service import ROOT, bare_environment, free_port, start_command

LIMIT_SECONDS = 180
RunInProcess = Callable[..., subprocess.CompletedProcess[str]]


def todo_api(
    *arguments: str,
    environment: Mapping[str, str | None],
    cwd: Path = ROOT,
    command: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the program until it exits; `serve` gets a free port unless one is set.

    It is a fork, as of a Service, unless there is a `command`.
    """
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = start_command(
            *arguments,
            command=command,
            cwd=cwd,
            env=bare_environment({"PORT": str(free_port()), **environment}),
            stdout=output,
            stderr=errors,
        )
        try:
            status = process.wait(LIMIT_SECONDS)
        finally:
            process.kill()
        printed = [_text(file) for file in (output, errors)]
    return subprocess.CompletedProcess(arguments, status, *printed)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def run_in_process(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command that exits soon in the test process, which saves a second."""
    changes = {"PORT": str(free_port()), **environment}
    monkeypatch.setattr(os, "environ", bare_environment(changes))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        status = cli.main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    output = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, status, output.out, output.err)


def error_message(result: subprocess.CompletedProcess[str]) -> str:
    """Return the error message of a failed command; fails if it printed anything else."""
    assert result.returncode == 1, result
    assert result.stdout == "", result.stdout
    name, colon, sentence = result.stderr.removesuffix("\n").partition(": ")
    assert (name, colon) == ("todo-api", ": "), result.stderr
    assert "\n" not in sentence, result.stderr
    return sentence
