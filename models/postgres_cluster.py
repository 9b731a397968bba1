"""One PostgreSQL cluster in one directory: made, started, found again, stopped."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from secrets import token_urlsafe
from shutil import rmtree

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier, Literal

from models.postgres_binaries import Binaries, EmbeddedError, open_privately

_HOST = "127.0.0.1"
_SUPERUSER, _OWNER, _LOGIN = "postgres", "todo_owner", "todo_login"
_ROLES = {_OWNER: SQL("CREATEROLE"), _LOGIN: SQL("NOINHERIT")}  # and no other power
_INITDB = (
    f"--username={_SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # asks no locale of the system
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_SERVER = (f"-clisten_addresses={_HOST}", "-cunix_socket_directories=", "-cmax_connections=200")
_STARTS = 5  # a port found free may be taken a moment later
_PATIENCE = 60  # seconds; recovery after a crash takes its time
_PAUSE = 0.02  # seconds


@dataclass(frozen=True, slots=True, repr=False)  # a repr ends up in logs, with passwords
class Urls:
    """Where the database `todo` is: libpq URLs, passwords included."""

    serving: str
    """As `todo_login`, for requests: it owns nothing and inherits nothing."""
    owner: str
    """As `todo_owner`, for migrations: it owns the database and may create roles."""


class Cluster:
    """The cluster in one directory and its server. To be used by one process at a time."""

    def __init__(self, home: Path) -> None:
        """Take `home`, which may be empty; EmbeddedError where there is no PostgreSQL."""
        self.home = home
        self.pgdata = home / "pgdata"
        self.lock = home / "server.lock"
        self.binaries = Binaries(self.pgdata, home / "log")
        self.mute = False  # it lives, but has been waited for in vain

    def start(self) -> Urls:
        """Make what is missing, find the server or start it; return where it is."""
        passwords = self.passwords()
        if not self.pgdata.exists():
            self.initialise(passwords[_SUPERUSER])
        with self.connect() as superuser:
            _furnish(superuser, passwords)
            place = f"{_HOST}:{superuser.info.port}/todo"
        return Urls(
            serving=f"postgresql://{_LOGIN}:{passwords[_LOGIN]}@{place}",
            owner=f"postgresql://{_OWNER}:{passwords[_OWNER]}@{place}",
        )

    def stop(self) -> None:
        """End the server, if one runs, and wait for the last of its processes."""
        deadline = time.monotonic() + _PATIENCE
        while self.alive() and not self.mute:
            if superuser := self.knock():
                with superuser:  # nobody but the server itself can be sure of its pid
                    note = superuser.execute("SELECT pg_read_file('postmaster.pid')").fetchall()
                pid = int(note[0][0].split()[0])
                os.kill(pid, signal.SIGINT)  # ends sessions, keeps commits
            if time.monotonic() > deadline:
                message = f"PostgreSQL in {self.home} does not stop; see its log there."
                raise EmbeddedError(message)
            time.sleep(_PAUSE)

    def passwords(self) -> dict[str, str]:
        """Read the password of each role; a new cluster has them generated first."""
        file = self.home / "secrets"
        if not self.pgdata.exists() and not file.exists():
            draft = self.home / "secrets.new"
            with open(draft, "w", opener=open_privately) as secret:
                json.dump({role: token_urlsafe(32) for role in (_SUPERUSER, *_ROLES)}, secret)
                secret.flush()
                os.fsync(secret.fileno())
            _put_in_place(draft, file)
        try:
            return dict(json.loads(file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError) as error:
            message = (
                f"{file}, which holds the passwords of the database beside it, is missing or "
                f"damaged: put it back, or remove {self.home} to begin with an empty database."
            )
            raise EmbeddedError(message) from error

    def initialise(self, password: str) -> None:
        """Make the cluster, whole or not at all."""
        draft = self.home / "pgdata.new"
        with locked(self.lock) as lock:  # waits for an initdb that has outlived its Python
            rmtree(draft, ignore_errors=True)
            self.binaries.initdb(f"--pgdata={draft}", *_INITDB, password=password, lock=lock)
            _put_in_place(draft, self.pgdata)

    def connect(self) -> psycopg.Connection[TupleRow]:
        """Connect as superuser, to the server that is there or else to a new one."""
        starts = 0
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self.alive():
                if superuser := self.knock():
                    return superuser
                time.sleep(_PAUSE)
            elif starts < _STARTS:
                starts += 1
                self.launch(_free_port())
            else:
                self.binaries.fail("PostgreSQL does not start")
        self.mute = True
        message = f"PostgreSQL in {self.home} runs but does not answer; see its log there."
        raise EmbeddedError(message)

    def launch(self, port: int) -> None:
        """Start the server on `port`, and leave it to itself."""
        with locked(self.lock) as lock:
            # Nobody lives here, so the pid in this file is nobody's, or a stranger's by now.
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
            self.binaries.postgres(*_SERVER, f"-cport={port}", lock=lock)

    def alive(self) -> bool:
        """Tell whether any process of the server lives."""
        try:
            with locked(self.lock, LOCK_EX | LOCK_NB):
                return False
        except BlockingIOError:
            return True

    def knock(self) -> psycopg.Connection[TupleRow] | None:
        """Connect as superuser, if the server says that it is ready.

        SCRAM proves both sides: what answers knows the password, so it is this server and
        no stranger on a port that was this server's.
        """
        with suppress(FileNotFoundError, psycopg.OperationalError):
            note = (self.pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
            if [line.strip() for line in note[7:]] == ["ready"]:
                return psycopg.connect(
                    host=_HOST,
                    hostaddr=_HOST,  # or else PGHOSTADDR would decide
                    port=note[3],
                    dbname="postgres",
                    user=_SUPERUSER,
                    password=self.passwords()[_SUPERUSER],
                    require_auth="scram-sha-256",
                    sslmode="disable",
                    connect_timeout=5,
                    autocommit=True,
                )
        return None


@contextmanager
def locked(path: Path, operation: int = LOCK_EX) -> Iterator[int]:
    """Hold a lock and yield its descriptor; BlockingIOError if LOCK_NB and it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def _furnish(superuser: psycopg.Connection[TupleRow], passwords: dict[str, str]) -> None:
    """Create the roles and the database, those that are not there."""
    roles = {name for (name,) in superuser.execute("SELECT rolname FROM pg_roles")}
    for role, power in _ROLES.items():
        if role not in roles:
            # A digest is all that the server gets to see, and perhaps to log.
            digest = superuser.pgconn.encrypt_password(
                passwords[role].encode(), role.encode(), b"scram-sha-256"
            )
            superuser.execute(
                SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                    Identifier(role), power, Literal(digest.decode())
                )
            )
    if not superuser.execute("SELECT 1 FROM pg_database WHERE datname = 'todo'").fetchone():
        superuser.execute(SQL("CREATE DATABASE todo OWNER {}").format(Identifier(_OWNER)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _put_in_place(draft: Path, final: Path) -> None:
    """Rename, and see that a power cut doesn't undo it."""
    draft.rename(final)
    directory = os.open(final.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
