"""The secret that signs tokens: given, rotated, made for development, or absent."""

import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest

from handlers.auth import dev_secret
from harness.clients import AuthedClient, new_user_id
from harness.clients import token as hs256
from harness.command import RunInProcess, error_message
from harness.jwks_server import JWKSServer, KeyPair
from harness.postgres import Postgres
from harness.service import ROOT, Serve, bare_environment
from harness.startup import printed_token, settings_for, tasks
from settings.parsers import MIN_SECRET_BYTES

pytest_plugins = ["harness.isolated_services"]


def test_a_missing_secret_is_created_once_and_reused(
    migrated_data_dir: Path, serve: Serve, run_in_process: RunInProcess
) -> None:
    made = migrated_data_dir / "better-auth-secret"
    first = serve({"DATA_DIR": str(migrated_data_dir)}).wait_until_healthy()
    token = printed_token(first)
    assert first.log.read_text().startswith(
        f"BETTER_AUTH_SECRET is not set: made one for development in {made}.\n"
    )
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(made.read_bytes()) >= MIN_SECRET_BYTES
    first.stop()
    again = serve({"DATA_DIR": str(migrated_data_dir)}).wait_until_healthy()
    assert tasks(again, token).status_code == 200
    assert "BETTER_AUTH_SECRET" not in again.log.read_text()
    bobs = run_in_process("token", "--user", "bob", DATA_DIR=str(migrated_data_dir))
    assert tasks(again, bobs.stdout.strip()).status_code == 200


def test_processes_that_create_the_secret_concurrently_agree(new_data_dir: Path) -> None:
    path = new_data_dir / dev_secret.FILE_NAME
    code = (
        "import pathlib, sys; from handlers.auth import dev_secret;"
        "path = pathlib.Path(sys.argv[1]); sys.stdin.read();"
        "print(dev_secret.create(path), dev_secret.load(path).decode())"
    )
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(path)],
                    cwd=ROOT,
                    env=bare_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        for process in processes:  # which wait for this
            assert process.stdin is not None
            process.stdin.close()
        printed = [process.stdout.read().split() for process in processes if process.stdout]
    assert sorted(made for made, _ in printed) == ["False", "False", "True"]
    assert {secret for _, secret in printed} == {path.read_text()}
    assert [file.name for file in new_data_dir.iterdir()] == [dev_secret.FILE_NAME]


def test_a_secret_that_another_process_created_first_is_kept(
    new_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_data_dir / dev_secret.FILE_NAME
    assert dev_secret.create(path)
    first = dev_secret.load(path)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert not dev_secret.create(path)
    assert dev_secret.load(path) == first
    assert [file.name for file in new_data_dir.iterdir()] == [dev_secret.FILE_NAME]


def test_token_creates_no_secret_in_another_directory(
    tmp_path: Path, run_in_process: RunInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = error_message(run_in_process("token", "--user", "alice"))
    assert sentence == (
        "There is no secret here: BETTER_AUTH_SECRET is not set, and no service has made "
        f"{tmp_path / '.data' / dev_secret.FILE_NAME}."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"too short", b"\xff" * 40, b"\0" * 40])
def test_a_damaged_secret_is_refused(
    new_data_dir: Path, run_in_process: RunInProcess, damage: bytes
) -> None:
    new_data_dir.mkdir()
    made = new_data_dir / "better-auth-secret"
    made.write_bytes(damage)
    sentence = error_message(
        run_in_process("token", "--user", "alice", DATA_DIR=str(new_data_dir))
    )
    assert sentence == f"{made} is damaged: remove it, and a new secret will be made."


@pytest.mark.parametrize("command", [["serve"], ["token", "--user", "alice"], ["migrate"]])
def test_with_a_database_url_the_secret_is_required(
    run_in_process: RunInProcess, command: list[str]
) -> None:
    url = "postgresql://me:hunter2@localhost/todo"
    sentence = error_message(run_in_process(*command, DATABASE_URL=url))
    assert sentence.startswith("BETTER_AUTH_SECRET is not set: ")
    assert "hunter2" not in sentence


def test_with_a_database_url_no_token_is_printed(postgres: Postgres, serve: Serve) -> None:
    service = serve(postgres.environment).wait_until_healthy()
    assert service.welcome.read_text() == ""
    with AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task("In a database of one's own")


def test_rotating_the_secret_signs_nobody_out_until_the_previous_one_is_removed(
    migrated_data_dir: Path, serve: Serve
) -> None:
    old, new = (f"{name} secret, which is long enough for HS256" for name in ("old", "new"))
    user = new_user_id()
    by_old, by_new = (hs256(user, secret=secret) for secret in (old, new))

    def statuses(by: str, previous: str, *arguments: str) -> list[int]:
        """Serve with these secrets; return the status for a token of each."""
        environment = settings_for(
            migrated_data_dir, BETTER_AUTH_SECRET=by, BETTER_AUTH_SECRET_PREVIOUS=previous
        )
        service = serve(environment, *arguments).wait_until_healthy()
        # On a connection each, so that every worker gets some.
        found = [
            tasks(service, token).status_code for _ in range(6) for token in (by_old, by_new)
        ]
        printed = printed_token(service)
        assert jwt.decode(printed, by.encode(), ["HS256"])["sub"] == "alice"
        service.stop()
        assert found == found[:2] * 6
        return found[:2]

    assert statuses(old, "") == [200, 401]
    assert statuses(new, old, "--workers", "2") == [200, 200]
    assert statuses(new, "") == [401, 200]


def test_without_a_secret_the_service_needs_published_keys_only(
    postgres: Postgres, serve: Serve
) -> None:
    pair = KeyPair()
    with JWKSServer(pair).running() as publisher:
        environment = {
            **postgres.environment,
            "BETTER_AUTH_SECRET": "",
            "JWKS_URL": publisher.url,
        }
        service = serve(environment, "--workers", "2").wait_until_healthy()
        user = new_user_id()
        for _ in range(10):  # on a connection each, so that either worker gets some
            assert tasks(service, pair.token(user)).json() == []
        assert tasks(service, hs256(user)).status_code == 401


def test_development_mode_prints_a_token_alongside_published_keys(
    migrated_data_dir: Path, serve: Serve
) -> None:
    environment = {"DATA_DIR": str(migrated_data_dir), "BETTER_AUTH_URL": "http://127.0.0.1:9"}
    service = serve(environment).wait_until_healthy()
    assert tasks(service, printed_token(service)).json() == []
