"""The PostgreSQL server of a benchmark: its configuration, databases and roles."""

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from models import embedded

DATABASE = "todo"
"""The database that `models.embedded` creates."""
COMPETITOR_ROLE = "bench_competitor"

# Checkpoints and autovacuum would slow down whichever service they coincide with.
BACKGROUND_WORK_OFF = (
    "checkpoint_timeout = '1d'",
    "max_wal_size = '32GB'",
    "autovacuum = off",
)
# A quarter of the memory, the starting point that PostgreSQL's manual recommends (19.4.1).
# The default of 128 MB holds a tenth of the tables at their largest.
SHARED_BUFFERS = f"shared_buffers = '{psutil.virtual_memory().total // 4 // 1024**2}MB'"


@dataclass(frozen=True, slots=True, repr=False)  # the URLs contain passwords
class DatabaseUrls:
    """The URLs of one database, by role."""

    app: str
    owner: str
    superuser: str
    competitor: str
    """A role with BYPASSRLS: competitors do not pay for row-level security."""

    def for_database(self, name: str) -> "DatabaseUrls":
        """Return the URLs of another database on the same server."""
        return replace(
            self,
            app=with_database(self.app, name),
            owner=with_database(self.owner, name),
            superuser=with_database(self.superuser, name),
            competitor=with_database(self.competitor, name),
        )


def with_database(url: str, name: str) -> str:
    """Replace the database in a URL."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def with_login(url: str, role: str, password: str) -> str:
    """Replace role and password in a URL."""
    address = urlsplit(url).netloc.rpartition("@")[2]
    return urlsplit(url)._replace(netloc=f"{role}:{password}@{address}").geturl()


def superuser_url(urls: embedded.Urls, data_dir: Path) -> str:
    """Return the URL of the superuser of the embedded server in `data_dir`."""
    passwords = json.loads((data_dir / "postgres" / "secrets").read_text())
    return with_login(urls.owner, "postgres", passwords["postgres"])


def configure_server(urls: embedded.Urls, data_dir: Path) -> None:
    """Set the server's configuration, which takes effect when it restarts."""
    settings = (*BACKGROUND_WORK_OFF, SHARED_BUFFERS)
    execute(
        superuser_url(urls, data_dir), *(f"ALTER SYSTEM SET {setting}" for setting in settings)
    )


def create_competitor_role(urls: embedded.Urls, data_dir: Path) -> DatabaseUrls:
    """Create the role that competitors connect as; return the URLs of all roles."""
    superuser = superuser_url(urls, data_dir)
    password = secrets.token_hex(16)
    execute(superuser, f"CREATE ROLE {COMPETITOR_ROLE} LOGIN BYPASSRLS PASSWORD '{password}'")
    return DatabaseUrls(
        app=urls.app,
        owner=urls.owner,
        superuser=superuser,
        competitor=with_login(urls.owner, COMPETITOR_ROLE, password),
    )


def create_database(urls: DatabaseUrls, name: str) -> None:
    """Create a database with the same owner as the first one."""
    owner = urlsplit(urls.owner).username
    execute(urls.superuser, f"CREATE DATABASE {name} OWNER {owner}")


def postmaster(url: str) -> psutil.Process:
    """Return the PostgreSQL server's main process, the parent of all others."""
    with psycopg.connect(url) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        parent = backend.parent()
        assert parent is not None
        return parent


def execute(url: str, *commands: str) -> None:
    """Execute commands, each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for command in commands:
            connection.execute(command.encode())
