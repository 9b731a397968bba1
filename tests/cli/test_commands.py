"""`todo-api` migrate, token and --help."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from harness.command import RunInProcess, error_message, todo_api
from harness.postgres import Postgres
from harness.service import COMMAND, ROOT, SECRET, bare_environment
from harness.startup import settings_for, wait_until_ended

pytest_plugins = ["harness.isolated_services"]


def test_migrate_brings_a_new_database_up_to_date_and_stops(new_data_dir: Path) -> None:
    for _ in range(2):  # the second time there is nothing to do
        done = todo_api("migrate", environment=settings_for(new_data_dir))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_until_ended([], new_data_dir)
    postgres = Postgres(new_data_dir / "postgres")
    assert postgres.database.scalar("SELECT to_regclass('todo.tasks')::text") == "todo.tasks"


def test_backfill_tells_how_much_it_has_stored(postgres: Postgres) -> None:
    postgres.database.execute("""
        INSERT INTO todo.users (id) VALUES ('alice'), ('bob');
        INSERT INTO todo.tasks (user_id, id, title)
        VALUES ('alice', gen_random_uuid(), 'x'), ('bob', gen_random_uuid(), 'x')
    """)
    done = todo_api("backfill", environment=postgres.environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Stored the JSON of 2 tasks.\n"


def claims(printed: subprocess.CompletedProcess[str], **expected: Any) -> dict[str, Any]:
    """Return what a token says that was printed, and nothing beside it."""
    assert (printed.returncode, printed.stderr) == (0, "")
    (line,) = printed.stdout.splitlines()
    said: dict[str, Any] = jwt.decode(line, SECRET.encode(), ["HS256"], **expected)
    return said


def test_a_token_is_for_the_user_and_valid_for_a_day() -> None:
    before = int(time.time())
    command = ["token", "--user", "Ωmega@example.com"]
    environment = {"BETTER_AUTH_SECRET": SECRET}
    said = claims(todo_api(*command, environment=environment, command=COMMAND))
    issued = said["iat"]
    assert before <= issued <= time.time()
    assert said == {"sub": "Ωmega@example.com", "iat": issued, "exp": issued + 86400}


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("90", 90), ("30s", 30), ("15m", 900), ("12h", 43200), ("7d", 604800)]
)
def test_a_token_is_valid_for_the_requested_time(
    run_in_process: RunInProcess, ttl: str, seconds: int
) -> None:
    command = ["token", "--user", "alice", "--ttl", ttl]
    said = claims(run_in_process(*command, BETTER_AUTH_SECRET=SECRET))
    assert said["exp"] == said["iat"] + seconds


def test_a_token_names_the_issuer_and_audience_that_are_checked(
    run_in_process: RunInProcess,
) -> None:
    checked = {"JWT_ISSUER": "https://me", "JWT_AUDIENCE": "https://you"}
    printed = run_in_process("token", "--user", "alice", BETTER_AUTH_SECRET=SECRET, **checked)
    said = claims(printed, issuer="https://me", audience="https://you")
    assert said["sub"] == "alice"


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        ("user.id", {"user": {"id": "alice"}}),
        ("https://todo.example/id", {"https://todo.example/id": "alice"}),
    ],
)
def test_a_token_names_its_user_where_the_service_looks_for_it(
    run_in_process: RunInProcess, claim: str, named: dict[str, Any]
) -> None:
    printed = run_in_process(
        "token", "--user", "alice", BETTER_AUTH_SECRET=SECRET, JWT_USER_CLAIM=claim
    )
    said = claims(printed)
    assert said == named | {"iat": said["iat"], "exp": said["exp"]}


def test_without_a_secret_there_is_no_token(run_in_process: RunInProcess) -> None:
    elsewhere = {
        "DATABASE_URL": "postgresql://localhost/todo",
        "BETTER_AUTH_URL": "https://todo.example",
    }
    sentence = error_message(run_in_process("token", "--user", "alice", **elsewhere))
    assert sentence == (
        "BETTER_AUTH_SECRET is not set: without it only Better Auth can sign tokens."
    )


@pytest.mark.parametrize(
    "command",
    [
        ["after-restore"],
        ["backfill"],
        *([name, "--user", "alice"] for name in ("export", "block", "unblock")),
        ["erase", "--user", "alice", "--yes"],
    ],
)
def test_a_command_creates_no_database_in_another_directory(
    tmp_path: Path,
    run_in_process: RunInProcess,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = error_message(run_in_process(*command, BETTER_AUTH_SECRET=SECRET))
    assert sentence == (
        "There is no database here: DATABASE_URL is not set, and no service has made one in "
        f"{tmp_path / '.data'}."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ttl", ["", "0", "-1h", "1.5h", "1w", "٣d", "99999999d"])
def test_an_invalid_duration_is_refused(run_in_process: RunInProcess, ttl: str) -> None:
    refused = run_in_process(
        "token", "--user", "alice", f"--ttl={ttl}", BETTER_AUTH_SECRET=SECRET
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is not a duration such as 15m, 12h or 7d" in refused.stderr


@pytest.mark.parametrize("user", ["", "a\nb", "\x7f", "a" * 256, b"\xff"])
def test_an_invalid_user_id_is_refused(run_in_process: RunInProcess, user: str | bytes) -> None:
    refused = run_in_process("token", "--user", os.fsdecode(user), BETTER_AUTH_SECRET=SECRET)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "a user id is 1 to 255 characters, none of them a control char" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(
            [name]
            for name in (
                "serve",
                "migrate",
                "backfill",
                "export",
                "erase",
                "block",
                "unblock",
                "token",
            )
        ),
    ],
)
def test_every_command_explains_itself(
    run_in_process: RunInProcess, command: list[str]
) -> None:
    helped = run_in_process(*command, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"usage: {' '.join(['todo-api', *command])} [-h]")


@pytest.mark.parametrize("command", [["--help"], ["token", "--user", "alice"]])
def test_a_command_ends_quietly_when_nobody_reads_its_output(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {"PYTHONUNBUFFERED": ""}  # it fails at exit, rather than when it prints
    ended = subprocess.run(
        [*COMMAND, *command],
        env=bare_environment({"BETTER_AUTH_SECRET": SECRET, **buffered}),
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("arguments", [[], ["destroy"]])
def test_a_command_that_is_missing_or_unknown_is_explained(
    run_in_process: RunInProcess, arguments: list[str]
) -> None:
    refused = run_in_process(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "usage: todo-api" in refused.stderr
