"""The command `todo-api`, as a process or within the test process."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import cli
from harness.service import COMMAND, ROOT, bare_environment, free_port

LIMIT_SECONDS = 180
RunInProcess = Callable[..., subprocess.CompletedProcess[str]]


def todo_api(
    *arguments: str,
    environment: Mapping[str, str | None],
    cwd: Path = ROOT,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the command until it exits; `serve` gets a free port unless one is set."""
    return subprocess.run(
        [*prefix, *COMMAND, *arguments],
        cwd=cwd,
        env=bare_environment({"PORT": str(free_port()), **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


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
