"""PgBouncer in transaction mode, in front of a PostgreSQL."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.cluster import Cluster
from harness.service import free_port, wait_for_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
SERVERS = 3  # connections to PostgreSQL, fewer than clients have
CONFIGURATION = """
    [databases]
    * = host=127.0.0.1 port={server}
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = {port}
    unix_socket_dir =
    auth_type = plain
    auth_file = {users}
    admin_users = todo_owner
    pool_mode = transaction
    default_pool_size = {servers}
    {user}
"""

requires_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="PgBouncer is not installed: apt has it"
)


class PgBouncer:
    """A PgBouncer that a test may kill and start again, on the same port."""

    def __init__(self, server: Cluster, directory: Path) -> None:
        """Start in front of `server`, with its files in `directory`."""
        self.port = free_port()
        self.database = server.with_params(port=self.port)
        """The database, as its clients reach it."""
        self._directory = directory
        users = directory / "users"
        accounts = [conninfo_to_dict(url) for url in (server.app, server.owner)]
        users.write_text("".join(f'"{a["user"]}" "{a["password"]}"\n' for a in accounts))
        (directory / "pgbouncer.ini").write_text(
            CONFIGURATION.format(
                server=server.port,
                port=self.port,
                users=users,
                servers=SERVERS,
                user="user = nobody" if os.geteuid() == 0 else "",
            )
        )
        self.start()

    def start(self) -> None:
        """Start, and wait until connections are accepted."""
        command = [str(PROGRAM), str(self._directory / "pgbouncer.ini")]
        with (self._directory / "pgbouncer.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        """End it as a crash would: all connections are lost."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it; does nothing if it has ended."""
        self._process.terminate()
        self._process.wait()
