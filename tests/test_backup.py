"""Backup and restore as docs/operating.md describes them, and what clients see afterwards.

A service is used, backed up, and used again. What was backed up is restored on a new server,
and the clients come back: they have lists, tokens and entity tags of writes that are gone.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from handlers.api.conditional import etag_of_list
from handlers.api.pagination import decode_sync_token
from harness.better_auth import conninfo_to_url
from harness.clients import AuthedClient, new_user_id
from harness.cluster import Cluster, open_database
from harness.postgres import Postgres
from harness.replica import Replica, Task, Tasks, listed
from harness.service import COMMAND, ROOT, SECRET, Service, bare_environment
from models.changes import list_changes
from models.lists import get_revision
from models.tasks import create_task

LOST_WRITES = 4
USERS = 8


class Client:
    """The client of one user, and what it remembers when the service is lost."""

    def __init__(self, url: str) -> None:
        """Create tasks before the backup."""
        self.http = AuthedClient(url, new_user_id())
        self.kept: Task = self.http.create_task("Kept")
        self.changed: Task = self.http.create_task("Changed")
        self.deleted: Task = self.http.create_task("Deleted")
        self.keyed: Task = self.create_once("before")[1]
        self.backed_up: Tasks = listed(self.http)
        self.replica = Replica(self.http, 100)
        self.tokens: list[str] = []
        self.list_tag = self.kept_tag = self.changed_tag = ""

    def write_what_is_lost(self) -> None:
        """Write after the backup, LOST_WRITES times, and remember the state after that."""
        self.http.patch(path(self.changed), json={"title": "Lost"})
        self.http.delete(path(self.deleted))
        self.create_once("after")
        self.http.create_task("Lost")
        self.replica.synchronize()
        within = self.http.get("/api/tasks/changes", params={"limit": 1}).json()["next"]
        self.tokens = [str(self.replica.token), within]
        self.list_tag = self.http.get("/api/tasks").headers["etag"]
        self.kept_tag = self.http.get(path(self.kept)).headers["etag"]
        self.changed_tag = self.http.get(path(self.changed)).headers["etag"]

    def create_once(self, key: str) -> tuple[bool, Task]:
        """Create a task with a key; return whether it was there already, and the task."""
        headers = {"Idempotency-Key": key}
        response = self.http.post("/api/tasks", json={"title": key}, headers=headers)
        assert response.status_code == 201, response.text
        return "idempotency-replayed" in response.headers, response.json()

    def has_current_list(self) -> bool:
        """Return whether the service confirms the list from before."""
        response = self.http.get("/api/tasks", headers={"If-None-Match": self.list_tag})
        assert response.status_code in (200, 304)
        return response.status_code == 304

    def accepted_tokens(self) -> list[str]:
        """Return the tokens from before that the service accepts."""
        responses = {
            token: self.http.get("/api/tasks/changes", params={"since": token})
            for token in self.tokens
        }
        assert {response.status_code for response in responses.values()} <= {200, 410}
        return [token for token, response in responses.items() if response.status_code == 200]


def path(task: Task) -> str:
    return f"/api/tasks/{task['id']}"


# The commands of the documentation, and the service before and after them


def commands(number: int) -> str:
    """Return a block of commands in the section about backups, by its number."""
    text = (ROOT / "docs" / "operating.md").read_text()
    section = text.partition("## Backup and restore\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return str(blocks[number])


BACKUP, RESTORE = commands(0), commands(1)


def environment(database: Cluster) -> dict[str, str]:
    """Return the settings of a service that uses this database."""
    return {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": conninfo_to_url(database.app),
        "MIGRATION_DATABASE_URL": conninfo_to_url(database.owner),
    }


class Operator:
    """Runs commands in a directory, with the programs of a PostgreSQL."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """Run commands in `folder`; `programs` is the directory of pg_dump."""
        self.folder = folder
        self.prelude = f"""
            PATH="{programs}:$PATH"
            todo-api() {{ {shlex.join(COMMAND)} "$@"; }}
        """

    def run(
        self, block: str, database: Cluster, *, admin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run commands for this database, as this administrator or the superuser."""
        variables = {**environment(database), "ADMIN_URL": admin or database.superuser}
        return subprocess.run(
            ["bash", "-euc", self.prelude + block],
            cwd=self.folder,
            env=bare_environment(variables),
            capture_output=True,
            check=False,
            text=True,
        )


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Run a new server, which has the logins and an empty database."""
    postgres = Postgres(tmp_path_factory.mktemp("new server"))
    try:
        yield postgres
    finally:
        postgres.kill()


@pytest.fixture(scope="module")
def operator(new_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Return an operator, in whose directory the backup is."""
    return Operator(tmp_path_factory.mktemp("backup"), new_server.cluster.binaries.directory)


@pytest.fixture(scope="module")
def clients(
    service: Service, service_db: Cluster, operator: Operator
) -> Iterator[list[Client]]:
    """Back up the shared service while it is used; yields clients, each for one test."""
    clients = [Client(service.url) for _ in range(USERS)]
    backup = operator.run(BACKUP, service_db)
    assert backup.returncode == 0, backup.stderr
    for client in clients:
        client.write_what_is_lost()
    yield [*clients]
    for client in clients:
        client.http.close()


@pytest.fixture(scope="module")
def restored(clients: list[Client], new_server: Postgres, operator: Operator) -> Cluster:
    """Restore the service; return a copy of the database from before the last command."""
    assert clients
    *first, last = RESTORE.splitlines()
    assert last == "todo-api after-restore"
    database = new_server.database
    restore = operator.run("\n".join(first), database)
    assert restore.returncode == 0, restore.stderr
    maintenance = database.with_params(dbname="postgres")
    maintenance.execute("CREATE DATABASE control TEMPLATE todo")
    users = database.scalar("SELECT count(*) FROM todo.users")
    finish = operator.run(last, database)
    assert finish.stdout == f"The clients of {users} users will read everything again.\n"
    return maintenance.with_params(dbname="control")


@pytest.fixture(scope="module")
def new_service(
    restored: Cluster, new_server: Postgres, operator: Operator
) -> Iterator[Service]:
    """Run the service on what was restored."""
    assert restored.name == "control"
    running = Service(environment(new_server.database), operator.folder / "service.log")
    try:
        yield running.wait_until_healthy()
    finally:
        running.kill()


@pytest.fixture
def client(clients: list[Client], new_service: Service) -> Client:
    """Return a client that comes back, and that no other test has used since."""
    client = clients.pop()
    client.http.base_url = httpx.URL(new_service.url)
    return client


def test_a_backup_by_a_role_that_does_not_see_all_rows_fails(
    service_db: Cluster, operator: Operator
) -> None:
    command = BACKUP.replace("todo.dump", "other.dump")
    backup = operator.run(command, service_db, admin=service_db.owner)
    assert backup.returncode != 0
    assert "row-level security policy" in backup.stderr


def test_the_tasks_are_those_of_the_backup(client: Client) -> None:
    assert listed(client.http) == client.backed_up
    assert len(client.backed_up) == 4


def test_a_list_from_before_is_never_confirmed(client: Client) -> None:
    for _ in range(LOST_WRITES + 2):
        assert not client.has_current_list()
        client.http.create_task()


def test_a_token_from_before_is_refused_and_a_new_copy_is_right(client: Client) -> None:
    for _ in range(LOST_WRITES + 2):
        assert client.accepted_tokens() == []
        client.http.create_task()
    replica = Replica(client.http, 3)
    assert replica.synchronize() == listed(client.http)
    client.http.delete(path(client.kept))
    client.http.create_task()
    assert replica.synchronize() == listed(client.http)


def test_a_change_of_a_version_that_is_gone_is_refused(client: Client) -> None:
    headers = {"If-Match": client.changed_tag}
    for number in range(LOST_WRITES + 2):
        change = {"title": f"{number}"}
        response = client.http.patch(path(client.changed), json=change, headers=headers)
        assert response.status_code == 412
        assert client.http.patch(path(client.changed), json=change).status_code == 200


def test_a_task_that_was_not_changed_since_the_backup_keeps_its_tag(client: Client) -> None:
    known = {"If-None-Match": client.kept_tag}
    assert client.http.get(path(client.kept), headers=known).status_code == 304
    current = {"If-Match": client.kept_tag}
    change = {"title": "x"}
    response = client.http.patch(path(client.kept), json=change, headers=current)
    assert response.status_code == 200
    assert client.http.get(path(client.kept), headers=known).status_code == 200


def test_a_key_is_replayed_if_its_task_is_in_the_backup(client: Client) -> None:
    assert client.create_once("before") == (True, client.keyed)
    is_replayed, task = client.create_once("after")
    assert not is_replayed
    assert listed(client.http) == client.backed_up | {task["id"]: task}
    assert client.create_once("after") == (True, task)


def test_a_user_is_still_isolated(client: Client, clients: list[Client]) -> None:
    assert client.http.get(path(clients[0].kept)).status_code == 403


@pytest.mark.anyio
async def test_without_the_last_command_a_client_misses_what_changed(
    clients: list[Client], restored: Cluster
) -> None:
    """The control: the revisions of the writes that are gone are used again."""
    client = clients[0]
    user = client.http.id
    async with open_database(restored.app) as database:
        for _ in range(LOST_WRITES):
            await create_task(database, user, {"title": "Missed"})
        assert etag_of_list(await get_revision(database, user)) == client.list_tag
        state = decode_sync_token(client.tokens[0])
        assert (await list_changes(database, user, state, 100)).changed == b"[]"
