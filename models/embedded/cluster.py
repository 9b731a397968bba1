"""One PostgreSQL cluster in one directory: created, started, found again, stopped."""

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

from models.embedded.binaries import Binaries, EmbeddedError, open_privately

_HOST = "127.0.0.1"
_SUPERUSER, _OWNER, _LOGIN = "postgres", "todo_owner", "todo_login"
_ROLES = {_OWNER: SQL("CREATEROLE"), _LOGIN: SQL("NOINHERIT")}  # their only attributes
_INITDB = (
    f"--username={_SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # needs no locale of the system
    "--builtin-locale=C.UTF-8",
    # Passwords are random: nobody could guess one, however fast it is to check. The default of
    # 4,096 would take each connection 5 ms of processor time.
    "--set=scram_iterations=1",
    "--no-instructions",
)
_SERVER = (f"-clisten_addresses={_HOST}", "-cunix_socket_directories=", "-cmax_connections=200")
_MAX_STARTS = 5  # a free port may be taken before the server binds it
_STARTUP_TIMEOUT = 60  # seconds; includes recovery after a crash
_POLL_INTERVAL = 0.02  # seconds


@dataclass(frozen=True, slots=True, repr=False)  # a repr ends up in logs, with passwords
class Urls:
    """The libpq URLs of the database `todo`, with passwords."""

    app: str
    """As `todo_login`, for requests: it owns nothing and inherits nothing."""
    owner: str
    """As `todo_owner`, for migrations: it owns the database and may create roles."""


class Cluster:
    """The cluster in one directory and its server, for use by one process at a time."""

    def __init__(self, home: Path) -> None:
        """Use the directory `home`, which may be empty. Raises EmbeddedError."""
        self.home = home
        self.pgdata = home / "pgdata"
        self.lock = home / "server.lock"
        self.binaries = Binaries(self.pgdata, home / "log")
        self.unresponsive = False
        self.port = 0
        """The port of the server, once `start` has found or started it."""

    def start(self) -> Urls:
        """Create what is missing, find or start the server, and return its URLs."""
        passwords = self.passwords()
        if not self.pgdata.exists():
            self.initialise(passwords[_SUPERUSER])
        with self.connect() as superuser:
            _create_roles(superuser, passwords)
            self.port = superuser.info.port
            address = f"{_HOST}:{self.port}/todo"
        return Urls(
            app=f"postgresql://{_LOGIN}:{passwords[_LOGIN]}@{address}",
            owner=f"postgresql://{_OWNER}:{passwords[_OWNER]}@{address}",
        )

    def stop(self) -> None:
        """Stop the server if it runs, and wait for the last of its processes."""
        deadline = time.monotonic() + _STARTUP_TIMEOUT
        while self.alive() and not self.unresponsive:
            if superuser := self.try_connect():
                # A server that is stopping already may end the session, or have ended.
                with suppress(psycopg.OperationalError, ProcessLookupError):
                    _shut_down(superuser)
            if time.monotonic() > deadline:
                message = f"PostgreSQL in {self.home} does not stop; see its log there."
                raise EmbeddedError(message)
            time.sleep(_POLL_INTERVAL)

    def passwords(self) -> dict[str, str]:
        """Return the password of each role; generates them for a new cluster."""
        file = self.home / "secrets"
        if not self.pgdata.exists() and not file.exists():
            draft = self.home / "secrets.new"
            with open(draft, "w", opener=open_privately) as secret:
                json.dump({role: token_urlsafe(32) for role in (_SUPERUSER, *_ROLES)}, secret)
                secret.flush()
                os.fsync(secret.fileno())
            _atomic_rename(draft, file)
        try:
            return dict(json.loads(file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError) as error:
            message = (
                f"{file}, which holds the passwords of the database beside it, is missing or "
                f"damaged: put it back, or remove {self.home} to start with an empty database."
            )
            raise EmbeddedError(message) from error

    def initialise(self, password: str) -> None:
        """Create the cluster atomically."""
        draft = self.home / "pgdata.new"
        with locked(self.lock) as lock:  # waits for an initdb whose parent has died
            rmtree(draft, ignore_errors=True)
            self.binaries.initdb(f"--pgdata={draft}", *_INITDB, password=password, lock=lock)
            _atomic_rename(draft, self.pgdata)

    def connect(self) -> psycopg.Connection[TupleRow]:
        """Connect as superuser to the running server, or to a new one."""
        starts = 0
        deadline = time.monotonic() + _STARTUP_TIMEOUT
        while time.monotonic() < deadline:
            if self.alive():
                if superuser := self.try_connect():
                    return superuser
                time.sleep(_POLL_INTERVAL)
            elif starts < _MAX_STARTS:
                port = None if starts else self.port_before_crash()
                starts += 1
                self.start_postmaster(port or _free_port())
            else:
                self.binaries.fail("PostgreSQL does not start")
        self.unresponsive = True
        message = f"PostgreSQL in {self.home} runs but does not answer; see its log there."
        raise EmbeddedError(message)

    def start_postmaster(self, port: int) -> None:
        """Start the server on `port` in the background."""
        with locked(self.lock) as lock:
            # No server runs, so the pid in this file is stale, or another process's by now.
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
            self.binaries.postgres(*_SERVER, f"-cport={port}", lock=lock)

    def port_before_crash(self) -> int | None:
        """Return the port of a server that was killed; None after a regular stop.

        Other processes may still use it, and have the port in their URLs.
        """
        with suppress(FileNotFoundError, IndexError, ValueError):
            return int((self.pgdata / "postmaster.pid").read_text().splitlines()[3])
        return None

    def alive(self) -> bool:
        """Return whether any process of the server is running."""
        try:
            with locked(self.lock, LOCK_EX | LOCK_NB):
                return False
        except BlockingIOError:
            return True

    def try_connect(self) -> psycopg.Connection[TupleRow] | None:
        """Connect as superuser if the server is ready; None otherwise.

        SCRAM authenticates both sides: the server knows the password, so it is this one and
        not another process on a port that this server had before.
        """
        with suppress(FileNotFoundError, psycopg.OperationalError):
            lines = (self.pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
            if [line.strip() for line in lines[7:]] == ["ready"]:
                return psycopg.connect(
                    host=_HOST,
                    hostaddr=_HOST,  # takes precedence over PGHOSTADDR
                    port=lines[3],
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
    """Hold a lock and yield its descriptor. Raises BlockingIOError with LOCK_NB."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def _shut_down(superuser: psycopg.Connection[TupleRow]) -> None:
    """Request a fast shutdown, which ends sessions and keeps commits."""
    with superuser:  # only the server itself can be sure of its pid
        rows = superuser.execute("SELECT pg_read_file('postmaster.pid')").fetchall()
    os.kill(int(rows[0][0].split()[0]), signal.SIGINT)


def _create_roles(superuser: psycopg.Connection[TupleRow], passwords: dict[str, str]) -> None:
    """Create the roles and the database that do not exist yet."""
    roles = {name for (name,) in superuser.execute("SELECT rolname FROM pg_roles")}
    for role, attribute in _ROLES.items():
        if role not in roles:
            # The server receives, and perhaps logs, a digest only.
            digest = superuser.pgconn.encrypt_password(
                passwords[role].encode(), role.encode(), b"scram-sha-256"
            )
            superuser.execute(
                SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                    Identifier(role), attribute, Literal(digest.decode())
                )
            )
    if not superuser.execute("SELECT 1 FROM pg_database WHERE datname = 'todo'").fetchone():
        superuser.execute(SQL("CREATE DATABASE todo OWNER {}").format(Identifier(_OWNER)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _atomic_rename(draft: Path, final: Path) -> None:
    """Rename a file or directory, durably."""
    draft.rename(final)
    directory = os.open(final.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
