"""What `todo-api` says when it cannot start, in one sentence."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from uvicorn.config import STARTUP_FAILURE

from harness.clients import new_user_id
from harness.clients import token as hs256
from harness.command import RunInProcess, error_message, todo_api
from harness.postgres import Postgres, wait_until
from harness.service import COMMAND, SECRET, Serve, free_port
from harness.startup import settings_for, tasks, wait_until_ended

pytest_plugins = ["harness.isolated_services"]


def test_a_port_in_use_is_reported_before_anything_is_started(new_data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        sentence = error_message(
            todo_api("serve", "--port", port, environment=settings_for(new_data_dir))
        )
    assert sentence == (
        f"Cannot listen on 127.0.0.1:{port} (Address already in use): set HOST or PORT."
    )
    assert not new_data_dir.exists()


def test_a_port_for_metrics_in_use_is_reported_before_anything_is_started(
    new_data_dir: Path, run_in_process: RunInProcess
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        sentence = error_message(
            run_in_process("serve", METRICS_PORT=port, **settings_for(new_data_dir))
        )
    assert sentence == (
        f"Cannot listen on 127.0.0.1:{port} (Address already in use): "
        "set METRICS_HOST or METRICS_PORT."
    )
    assert not new_data_dir.exists()


def test_of_two_services_that_start_on_one_port_one_serves_and_one_reports_why_not(
    migrated_data_dir: Path, serve: Serve
) -> None:
    first = serve(settings_for(migrated_data_dir))
    second = serve(settings_for(migrated_data_dir), port=first.port)
    wait_until(lambda: (first.process.poll() is None) != (second.process.poll() is None))
    loser, winner = (second, first) if first.process.poll() is None else (first, second)
    winner.wait_until_healthy()
    assert loser.process.returncode in {1, STARTUP_FAILURE}
    assert "Address already in use" in loser.log.read_text()
    assert "Traceback" not in loser.log.read_text()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "two..dots", "::2::"])
def test_an_address_of_another_machine_is_reported(
    new_data_dir: Path, run_in_process: RunInProcess, host: str
) -> None:
    sentence = error_message(
        run_in_process("serve", "--host", host, **settings_for(new_data_dir))
    )
    assert re.fullmatch(
        rf"Cannot listen on {re.escape(host)}:[0-9]+ \(.+\): set HOST or PORT\.", sentence
    )


@pytest.mark.parametrize(
    "arguments", [["--workers", "none"], ["--port", "http"], ["--workers", "65"]]
)
def test_a_bad_setting_is_named(
    new_data_dir: Path, run_in_process: RunInProcess, arguments: list[str]
) -> None:
    sentence = error_message(run_in_process("serve", *arguments, **settings_for(new_data_dir)))
    assert sentence.startswith(f"{arguments[0].removeprefix('--').upper()} must be ")
    assert not new_data_dir.exists()


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_is_down_is_reported(command: str) -> None:
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/todo"
    environment = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
    sentence = error_message(todo_api(command, environment=environment))
    assert sentence.startswith("Cannot connect to todo at 127.0.0.1:")
    assert "refused" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@no-such-host.invalid/todo",
        "postgresql://me:hunter2@127.0.0.1:port/todo",
        "postgresql://me:hunter2@[half/todo",
        "postgresql://me:hunter2%zz@127.0.0.1/todo",
        "postgresql://me:hunter2@127.0.0.1/todo?no_such_option=hunter2",
        "postgresql://me:what?hunter2=1@[half/todo",
        "postgresql://me:what/ever?hunter=1&hunter2=1@127.0.0.1/todo",
        "postgresql://me@127.0.0.1/todo?password=what&hunter=2&hunter2=1",
    ],
)
def test_an_invalid_database_url_is_reported_without_the_password(url: str) -> None:
    environment = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
    sentence = error_message(todo_api("serve", environment=environment))
    assert "hunter" not in sentence


@pytest.mark.parametrize("setting", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_a_parameter_that_postgresql_does_not_know_is_named(
    postgres: Postgres, run_in_process: RunInProcess, setting: str
) -> None:
    url = f"{postgres.environment[setting]}?sslmode=prefer&no_such_option=1"
    environment = {**postgres.environment, setting: url}
    sentence = error_message(run_in_process("serve", **environment))
    assert sentence == (
        "Cannot connect to a URL whose parameter no_such_option PostgreSQL does not know"
    )


@pytest.mark.parametrize("setting", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_a_wrong_password_is_reported_without_the_password(
    postgres: Postgres, setting: str
) -> None:
    right = urlsplit(postgres.environment[setting])
    wrong = right._replace(netloc=f"{right.username}:hunter2@127.0.0.1:{right.port}").geturl()
    environment = {**postgres.environment, setting: wrong}
    sentence = error_message(todo_api("serve", environment=environment))
    assert "password authentication failed" in sentence
    assert "hunter2" not in sentence
    assert str(right.password) not in sentence


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_cannot_hold_every_character_is_reported(
    postgres: Postgres, command: str
) -> None:
    urls = ("DATABASE_URL", "MIGRATION_DATABASE_URL")
    with postgres.database.new_database("template0", "ENCODING 'LATIN1' LOCALE 'C'") as latin1:
        elsewhere = {
            name: urlsplit(postgres.environment[name])._replace(path=latin1.name).geturl()
            for name in urls
        }
        sentence = error_message(
            todo_api(command, environment=postgres.environment | elsewhere)
        )
    assert sentence == (
        f"Cannot use {latin1.name} at 127.0.0.1:{postgres.port} as todo_owner: "
        "its encoding is LATIN1; create a database with ENCODING 'UTF8'"
    )


@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_data_directory_below_a_file_is_reported(tmp_path: Path, secret: str) -> None:
    (tmp_path / "file").touch()
    environment = settings_for(tmp_path / "file/data", BETTER_AUTH_SECRET=secret)
    sentence = error_message(todo_api("serve", environment=environment))
    assert str(tmp_path / "file/data") in sentence
    assert "Not a directory" in sentence


@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_read_only_data_directory_is_reported(
    new_data_dir: Path, ordinary_user: tuple[str, ...], secret: str
) -> None:
    new_data_dir.chmod(0o500)
    environment = settings_for(new_data_dir / "data", BETTER_AUTH_SECRET=secret)
    sentence = error_message(
        todo_api("serve", environment=environment, command=(*ordinary_user, *COMMAND))
    )
    assert str(new_data_dir / "data") in sentence
    assert "Permission denied" in sentence


@pytest.mark.parametrize(
    ("danger", "reason"),
    [
        ("ALTER ROLE todo_serving BYPASSRLS", "todo_serving bypasses row security"),
        ("ALTER ROLE todo_serving SUPERUSER", "todo_serving is a superuser"),
        (
            "ALTER TABLE todo.tasks NO FORCE ROW LEVEL SECURITY",
            "row security is not enabled and forced on table tasks",
        ),
    ],
)
def test_a_database_that_would_not_isolate_users_is_refused(
    postgres: Postgres, danger: str, reason: str
) -> None:
    postgres.database.execute(danger)
    sentence = error_message(todo_api("serve", environment=postgres.environment))
    assert sentence == f"The database would not isolate users: {reason}."


@pytest.fixture
def as_superuser(postgres: Postgres) -> dict[str, str]:
    """Return settings with a DATABASE_URL like that of many a first try."""
    password = postgres.cluster.passwords()["postgres"]
    url = f"postgresql://postgres:{password}@127.0.0.1:{postgres.port}/todo"
    return {"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": url}


def test_a_superuser_as_login_is_refused_with_advice_that_works(
    postgres: Postgres, as_superuser: dict[str, str], serve: Serve
) -> None:
    refused = todo_api("serve", environment=as_superuser)
    assert (refused.returncode, refused.stdout) == (1, "")
    message = refused.stderr
    assert message.startswith(
        "todo-api: DATABASE_URL logs in as postgres, which is a superuser: row security does "
        "not restrict that role, so a mistake in the service could show a user the tasks of "
        "another. Create a role for the service;"
    )
    url = as_superuser["DATABASE_URL"]
    assert str(urlsplit(url).password) not in message
    (statement,) = re.findall(r"^CREATE ROLE todo_login .*;$", message, re.MULTILINE)
    # The embedded PostgreSQL has a role of this name.
    postgres.database.execute(statement.replace("todo_login", "web").replace("...", "x"))
    advised = {
        "DATABASE_URL": f"postgresql://web:x@127.0.0.1:{postgres.port}/todo",
        "MIGRATION_DATABASE_URL": url,
    }
    service = serve(as_superuser | advised).wait_until_healthy()
    assert tasks(service, hs256(new_user_id())).json() == []


def test_a_superuser_as_login_is_accepted_on_request(
    as_superuser: dict[str, str], serve: Serve
) -> None:
    environment = as_superuser | {"DATABASE_ALLOW_PRIVILEGED_LOGIN": "true"}
    service = serve(environment).wait_until_healthy()
    assert tasks(service, hs256(new_user_id())).json() == []


def test_after_a_refusal_the_embedded_postgresql_is_stopped(migrated_data_dir: Path) -> None:
    postgres = Postgres(migrated_data_dir / "postgres")
    postgres.database.execute("ALTER ROLE todo_serving BYPASSRLS")
    postgres.stop()
    assert "bypasses row security" in error_message(
        todo_api("serve", environment=settings_for(migrated_data_dir))
    )
    wait_until_ended([], migrated_data_dir)
