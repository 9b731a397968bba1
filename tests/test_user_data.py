"""`todo-api` export, erase, block and unblock: what an operator can do about one user."""

import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from handlers.auth import dev_secret
from harness.better_auth import conninfo_to_url
from harness.clients import AuthedClient, token
from harness.cluster import Cluster
from harness.command import RunInProcess, error_message, run_in_process, todo_api
from harness.operations import SECURED, request_operation
from harness.postgres import wait_until
from harness.service import COMMAND, SECRET, Service
from harness.workers import clients_of_every_process
from models.blocked_users import EFFECTIVE_WITHIN

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


def test_an_export_is_in_utf8_whatever_the_locale_is(
    alice: AuthedClient, data_dir: Path
) -> None:
    alice.create_task("Zoë 😀")
    environment = {"DATA_DIR": str(data_dir), "PYTHONIOENCODING": "ascii"}
    result = todo_api("export", "--user", alice.id, environment=environment, command=COMMAND)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["title"] == "Zoë 😀"


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


def test_an_id_that_the_terminal_cannot_show_is_escaped(
    service: Service,  # noqa: ARG001 (its database is used)
    data_dir: Path,
) -> None:
    environment = {"DATA_DIR": str(data_dir), "PYTHONIOENCODING": "ascii"}
    command = ("erase", "--user", "Zoë", "--yes")
    result = todo_api(*command, environment=environment, command=COMMAND)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "There is nothing about 'Zo\\xeb'.\n"


@pytest.fixture
def erase_with_trigger(
    scratch_db: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that erases a user with a task, on whose deletion SQL is run."""

    def erase(sql: str) -> subprocess.CompletedProcess[str]:
        scratch_db.execute(f"""
            INSERT INTO todo.users (id) VALUES ('alice');
            INSERT INTO todo.tasks (user_id, id, title)
            VALUES ('alice', gen_random_uuid(), 'x');
            CREATE FUNCTION public.run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            AS $$ BEGIN {sql}; RETURN OLD; END $$;
            CREATE TRIGGER run BEFORE DELETE ON todo.tasks
            FOR EACH ROW EXECUTE FUNCTION public.run()
        """)
        return run_in_process(
            monkeypatch,
            capsys,
            *("erase", "--user", "alice", "--yes"),
            BETTER_AUTH_SECRET=SECRET,
            DATABASE_URL=conninfo_to_url(scratch_db.app),
            DATABASE_STATEMENT_TIMEOUT="0.1",
        )

    return erase


def test_erasing_may_take_longer_than_a_statement_of_the_service(
    erase_with_trigger: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    result = erase_with_trigger("PERFORM pg_sleep(0.3)")
    assert (result.returncode, result.stdout) == (0, "Erased 'alice'.\n")


def test_an_operator_is_told_that_an_erasure_may_not_have_happened(
    erase_with_trigger: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    lost = erase_with_trigger("PERFORM pg_terminate_backend(pg_backend_pid())")
    assert error_message(lost) == (
        "The connection to the database was lost, so this may or may not have been done: "
        "run the command again."
    )


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


def test_erasing_deletes_nothing_if_there_is_nobody_to_ask(
    alice: AuthedClient, run: RunInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = alice.create_task()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    result = run("erase", "--user", alice.id)
    assert (result.returncode, result.stderr) == (1, "todo-api: Nothing was deleted.\n")
    assert alice.list_tasks() == [task]


def is_blocked(response: httpx.Response) -> bool:
    """Return whether a response says that the user is blocked, and nothing else."""
    return (
        response.status_code == httpx.codes.FORBIDDEN
        and response.json()["type"] == "/problems/user-blocked"
        and response.json()["detail"] == "Your access to this service is blocked."
    )


def wait_until_blocked(client: AuthedClient, *, blocked: bool = True) -> None:
    wait_until(lambda: is_blocked(client.get("/api/tasks")) is blocked)


def test_a_blocked_user_is_refused_by_every_process_within_seconds(
    alice: AuthedClient,
    run: RunInProcess,
    service: Service,
    dev_service: Service,
    data_dir: Path,
) -> None:
    alice.create_task()
    secret = (data_dir / dev_secret.FILE_NAME).read_text()
    tokens = token(alice.id), token(alice.id, secret=secret)
    with (
        clients_of_every_process(service, tokens[0]) as production,
        clients_of_every_process(dev_service, tokens[1]) as development,
    ):
        clients = [*production, *development]
        assert len(clients) == 1 + 2

        def served() -> list[bool]:
            """Send a request to each of the processes, with tokens that they have cached."""
            return [not is_blocked(client.get("/api/tasks")) for client in clients]

        for command, verb, expected in (
            ("block", "Blocked", False),
            ("unblock", "Unblocked", True),
        ):
            assert served() == [not expected] * 3
            result = run(command, "--user", alice.id)
            acknowledged = time.monotonic()
            within = f"in every process within {EFFECTIVE_WITHIN} seconds"
            assert (result.returncode, result.stdout) == (
                0,
                f"{verb} {alice.id!r}, {within}.\n",
            )
            wait_until(lambda: served() == [expected] * 3)  # noqa: B023 (called at once)
            assert time.monotonic() - acknowledged < EFFECTIVE_WITHIN


def test_a_blocked_user_is_refused_whatever_they_ask_for_and_with_every_token(
    alice: AuthedClient, bob: AuthedClient, run: RunInProcess
) -> None:
    task, bobs = alice.create_task()["id"], bob.create_task()["id"]
    run("block", "--user", alice.id)
    wait_until_blocked(alice)
    for operation in SECURED:
        for user in (None, alice.id, bob.id):
            assert is_blocked(request_operation(alice, operation, task, user=user))
    assert is_blocked(alice.get(f"/api/tasks/{bobs}"))
    alice.headers["Authorization"] = f"Bearer {token(alice.id, iat=1)}"
    assert is_blocked(alice.post("/api/tasks", content=b"not even JSON"))
    assert alice.get("/ready").status_code == 200
    assert alice.get("/api/nothing").status_code == 404
    alice.headers["Authorization"] = f"Bearer {token(alice.id, exp=1)}"
    assert alice.get("/api/tasks").status_code == 401
    assert [each["id"] for each in bob.list_tasks()] == [bobs]


def test_nobody_else_can_tell_that_a_user_is_blocked(
    alice: AuthedClient, bob: AuthedClient, run: RunInProcess
) -> None:
    task = alice.create_task()["id"]
    where = [f"/api/tasks/{task}", f"/api/{alice.id}/tasks", f"/api/{alice.id}/tasks/{task}"]

    def asked_by_bob() -> list[object]:
        varying = {"request_id"}
        return [bob.get(path).json() | dict.fromkeys(varying) for path in where]

    before = asked_by_bob()
    run("block", "--user", alice.id)
    wait_until_blocked(alice)
    assert asked_by_bob() == before


def test_a_block_outlasts_an_erasure_and_needs_no_tasks(
    alice: AuthedClient, run: RunInProcess
) -> None:
    run("block", "--user", alice.id)
    assert run("block", "--user", alice.id).stdout == f"{alice.id!r} is blocked already.\n"
    wait_until_blocked(alice)
    run("erase", "--user", alice.id, "--yes")
    assert is_blocked(alice.post("/api/tasks", json={"title": "Back again"}))
    run("unblock", "--user", alice.id)
    assert run("unblock", "--user", alice.id).stdout == f"{alice.id!r} is not blocked.\n"
    wait_until_blocked(alice, blocked=False)
    assert alice.list_tasks() == []
