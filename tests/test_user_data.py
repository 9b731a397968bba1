"""`todo-api export` and `todo-api erase`: everything about one user."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.clients import AuthedClient
from harness.cluster import Cluster
from harness.command import RunInProcess, error_message, run_in_process
from harness.service import SECRET

TABLES = ("tasks", "deleted_tasks", "idempotency_keys")


@pytest.fixture
def run(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunInProcess:
    """Return a function that runs commands on the database of the shared service."""
    environment = {"DATA_DIR": str(data_dir), "BETTER_AUTH_SECRET": SECRET}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_in_process(monkeypatch, capsys, *arguments, **environment)

    return run


def create_data(client: AuthedClient) -> None:
    """Create tasks, a deletion and an idempotency key."""
    client.create_task("1", tags=["home"], description="line\nline 😀")
    client.create_task("2", completed=True)
    client.delete(f"/api/tasks/{client.create_task()['id']}")
    client.post("/api/tasks", json={"title": "3"}, headers={"Idempotency-Key": "k"})


def rows(cluster: Cluster, user: str) -> int:
    count = int(cluster.scalar(f"SELECT count(*) FROM todo.users WHERE id = '{user}'"))
    for table in TABLES:
        where = f"FROM todo.{table} WHERE user_id = '{user}'"
        count += int(cluster.scalar(f"SELECT count(*) {where}"))
    return count


def test_an_export_has_every_task_as_json_lines_oldest_first(
    alice: AuthedClient, bob: AuthedClient, run: RunInProcess
) -> None:
    create_data(alice)
    create_data(bob)
    result = run("export", "--user", alice.id)
    assert (result.returncode, result.stderr) == (0, "")
    tasks = [json.loads(line) for line in result.stdout.removesuffix("\n").split("\n")]
    assert tasks == alice.list_tasks(order="asc")
    assert len(tasks) == 3


def test_an_export_of_nothing_is_empty(alice: AuthedClient, run: RunInProcess) -> None:
    result = run("export", "--user", alice.id)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_erasing_leaves_nothing_of_the_user_and_everything_of_others(
    alice: AuthedClient, bob: AuthedClient, run: RunInProcess, service_db: Cluster
) -> None:
    create_data(alice)
    create_data(bob)
    bobs, bobs_rows = bob.list_tasks(), rows(service_db, bob.id)
    assert rows(service_db, alice.id) == bobs_rows == 1 + 3 + 1 + 1
    result = run("erase", "--user", alice.id, "--yes")
    assert (result.returncode, result.stdout) == (0, f"Erased {alice.id!r}.\n")
    assert rows(service_db, alice.id) == 0
    assert rows(service_db, bob.id) == bobs_rows
    assert alice.list_tasks() == []
    assert bob.list_tasks() == bobs
    again = run("erase", "--user", alice.id, "--yes")
    assert (again.returncode, again.stdout) == (0, f"There is nothing about {alice.id!r}.\n")
    alice.create_task("Back again")
    assert alice.list_titles() == ["Back again"]


@pytest.mark.parametrize(("typed_in", "is_erased"), [("yes", True), ("", False), ("y", False)])
def test_erasing_asks(
    typed_in: str,
    is_erased: bool,  # noqa: FBT001
    alice: AuthedClient,
    run: RunInProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = alice.create_task()
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return typed_in

    monkeypatch.setattr("builtins.input", answer)
    result = run("erase", "--user", alice.id)
    assert questions == [f"Delete every task of {alice.id!r}, for good? Type yes: "]
    if is_erased:
        assert result.returncode == 0
    else:
        assert error_message(result) == "Nothing was deleted."
    assert alice.list_tasks() == ([] if is_erased else [task])
