"""The PostgreSQL server of a benchmark: its configuration and databases."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from models import embedded

DATABASE = "todo"
"""The database that `models.embedded` creates, for this service."""

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

    def for_database(self, name: str) -> "DatabaseUrls":
        """Return the URLs of another database on the same server."""
        return replace(
            self,
            app=with_database(self.app, name),
            owner=with_database(self.owner, name),
            superuser=with_database(self.superuser, name),
        )


def with_database(url: str, name: str) -> str:
    """Replace the database in a URL."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def database_urls(urls: embedded.Urls, data_dir: Path) -> DatabaseUrls:
    """Return the URLs of the embedded server in `data_dir`, including that of its superuser."""
    password = json.loads((data_dir / "postgres" / "secrets").read_text())["postgres"]
    address = urlsplit(urls.owner).netloc.rpartition("@")[2]
    superuser = urlsplit(urls.owner)._replace(netloc=f"postgres:{password}@{address}")
    return DatabaseUrls(app=urls.app, owner=urls.owner, superuser=superuser.geturl())


def configure_server(urls: DatabaseUrls) -> None:
    """Set the server's configuration, which takes effect when it restarts."""
    settings = (*BACKGROUND_WORK_OFF, SHARED_BUFFERS)
    execute(urls.superuser, *(f"ALTER SYSTEM SET {setting}" for setting in settings))


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
