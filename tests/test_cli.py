"""The command `todo-api`: serve, migrate, token, and their errors."""

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import psutil
import pytest
from uvicorn.config import STARTUP_FAILURE

import settings
from handlers.auth import dev_secret
from handlers.server.run import ACCEPT_HANDLES
from harness.clients import AuthedClient, new_user_id
from harness.clients import token as hs256
from harness.command import RunInProcess, error_message, todo_api
from harness.jwks_server import JWKSServer, KeyPair
from harness.postgres import (
    Postgres,
    find_postmasters,
    is_running,
    kill_postmasters,
    wait_until,
)
from harness.service import ROOT, SECRET, Serve, Service, bare_environment, free_port
from harness.workers import server_processes
from settings.parsers import MIN_SECRET_BYTES

pytest_plugins = ["harness.isolated_services"]

UNSET = dict.fromkeys(settings.NAMES)
STOPPED = {0, 128 + signal.SIGTERM}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")


def settings_for(data_dir: Path, **environment: str) -> dict[str, str]:
    """Return the settings for this DATA_DIR, with a secret."""
    return {"DATA_DIR": str(data_dir), "BETTER_AUTH_SECRET": SECRET, **environment}


def printed_token(service: Service) -> str:
    """Return the token that a service has printed at startup."""
    printed = service.welcome.read_text()
    found = re.search(r'Authorization: Bearer ([^"]+)"', printed)
    assert found, printed
    return found[1]


def tasks(service: Service, token: str) -> httpx.Response:
    return httpx.get(f"{service.url}/api/tasks", headers={"Authorization": f"Bearer {token}"})


def responds(url: str) -> bool:
    """Return whether a healthy service listens at a URL."""
    with suppress(httpx.ConnectError):
        return httpx.get(url).status_code == httpx.codes.OK
    return False


def wait_until_ended(processes: list[psutil.Process], new_data_dir: Path) -> None:
    """Wait for the end of the last process of a service and its PostgreSQL."""
    wait_until(
        lambda: (
            not any(map(is_running, [*processes, *find_postmasters(new_data_dir / "postgres")]))
        )
    )


# Output of `serve`


def test_serve_prints_where_everything_is_and_a_token_that_works(
    migrated_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(migrated_data_dir)).wait_until_healthy()
    urls = re.findall(rf"{service.url}\S+", service.welcome.read_text())
    assert [urlsplit(url).path for url in urls] == [
        "/api/tasks", "/docs", "/openapi.yaml", "/api/tasks",
    ]  # fmt: skip
    assert [httpx.get(url).status_code for url in urls[:3]] == [401, 200, 200]
    answer = tasks(service, printed_token(service))
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO CURL HERE: its line is untested")
def test_serve_prints_a_curl_line_that_works_as_it_stands(
    migrated_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(migrated_data_dir)).wait_until_healthy()
    (line,) = re.findall(r"^ *(curl .*)$", service.welcome.read_text(), re.MULTILINE)
    run_in_process = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=True
    )
    assert run_in_process.stdout == "[]"


def test_the_first_start_creates_a_database_and_serves(
    new_data_dir: Path, serve: Serve
) -> None:
    service = serve({"DATA_DIR": str(new_data_dir)}).wait_until_healthy()
    assert tasks(service, printed_token(service)).json() == []


def test_the_log_contains_no_token_secret_or_password(new_data_dir: Path, serve: Serve) -> None:
    service = serve({"DATA_DIR": str(new_data_dir), "LOG_LEVEL": "debug"}).wait_until_healthy()
    token = printed_token(service)
    assert tasks(service, token).status_code == 200
    service.stop()
    passwords = Postgres(new_data_dir / "postgres").cluster.passwords().values()
    log = service.log.read_text()
    assert "Uvicorn running" in log
    for word in (token, (new_data_dir / "better-auth-secret").read_text(), *passwords):
        assert word not in log


def test_it_serves_on_ipv6(migrated_data_dir: Path, serve: Serve) -> None:
    service = serve(settings_for(migrated_data_dir), "--host", "::1")
    url = f"http://[::1]:{service.port}"
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("NO IPV6 HERE: serving on it is untested")
    wait_until(lambda: responds(f"{url}/health"))
    assert f"{url}/api/tasks" in service.welcome.read_text()


def test_several_simultaneous_connections_are_accepted_at_a_time(
    migrated_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(migrated_data_dir)).wait_until_healthy()
    handles = Path(f"/proc/{service.process.pid}/fd").iterdir()
    sockets = Counter(str(handle.readlink()) for handle in handles)
    ((socket_name, count),) = sockets.most_common(1)
    assert socket_name.startswith("socket:")
    assert count == ACCEPT_HANDLES > 1


# The secret


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


# Stopping, killing, sharing


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 1),
        (signal.SIGTERM, 2),
        (signal.SIGINT, 1),
        (signal.SIGINT, 2),
        (signal.SIGHUP, 1),  # for several, uvicorn's way is to replace them
    ],
)
def test_a_signal_stops_the_service_its_workers_and_its_postgresql(
    migrated_data_dir: Path, tmp_path: Path, serve: Serve, number: signal.Signals, workers: int
) -> None:
    service = serve(
        settings_for(migrated_data_dir, METRICS_PORT=str(free_port()), TMPDIR=str(tmp_path)),
        *("--workers", str(workers)),
    ).wait_until_healthy()
    assert list(tmp_path.glob("todo-api-metrics-*/*.json"))
    processes = [*service.workers(), *find_postmasters(migrated_data_dir / "postgres")]
    assert len(processes) >= workers
    assert service.stop(number) in STOPPED
    wait_until_ended(processes, migrated_data_dir)
    assert "Traceback" not in service.log.read_text()
    assert not list(tmp_path.glob("todo-api-metrics-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_a_service_that_is_still_starting(
    new_data_dir: Path, serve: Serve, number: signal.Signals
) -> None:
    service = serve(settings_for(new_data_dir))
    wait_until((new_data_dir / "postgres/pgdata.new/PG_VERSION").exists)
    expected = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
    assert service.stop(number) == 128 + expected
    wait_until_ended([], new_data_dir)
    assert service.log.read_text() == ""
    again = serve(settings_for(new_data_dir)).wait_until_healthy()
    assert again.stop() in STOPPED


def test_two_workers_serve_the_same_tasks_and_are_replaced_when_they_die(
    migrated_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(migrated_data_dir), "--workers", "2").wait_until_healthy()
    wait_until(lambda: len(server_processes(service)) == 2)
    workers = server_processes(service)
    user = new_user_id()

    def writes_and_reads() -> None:
        titles = [f"{number}" for number in range(20)]
        for title in titles:  # on a connection each, so that either worker gets some
            with AuthedClient(service.url, user) as alice:
                alice.create_task(title)
        with AuthedClient(service.url, user) as alice:
            assert set(titles) <= set(alice.list_titles())

    writes_and_reads()
    workers.pop().kill()
    wait_until(
        lambda: (
            len(server_processes(service) - workers) == 1
            and len(server_processes(service)) == 2
        )
    )
    writes_and_reads()
    assert service.stop() in STOPPED


def test_workers_do_not_outlive_a_service_that_is_killed(
    migrated_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(migrated_data_dir), "--workers", "2").wait_until_healthy()
    workers = service.workers()
    service.process.kill()
    service.process.wait()
    wait_until(lambda: not any(map(is_running, workers)))
    serve(settings_for(migrated_data_dir), port=service.port).wait_until_healthy()


def kill_service(service: Service, _home: Path) -> None:
    service.kill()


def kill_postgresql(service: Service, home: Path) -> None:
    kill_postmasters(home)
    assert service.stop() in STOPPED


def kill_both(service: Service, home: Path) -> None:
    service.kill()
    kill_postmasters(home)


@pytest.mark.parametrize("disaster", [kill_service, kill_postgresql, kill_both])
def test_a_new_start_after_a_kill_has_all_data(
    migrated_data_dir: Path, serve: Serve, disaster: Callable[[Service, Path], None]
) -> None:
    service = serve(settings_for(migrated_data_dir)).wait_until_healthy()
    user = new_user_id()
    with AuthedClient(service.url, user) as alice:
        kept = alice.create_task("Kept")
    disaster(service, migrated_data_dir / "postgres")
    again = serve(settings_for(migrated_data_dir), port=service.port).wait_until_healthy()
    with AuthedClient(again.url, user) as alice:
        assert alice.list_tasks() == [kept]
    again.stop()
    wait_until_ended([], migrated_data_dir)


def test_two_services_starting_at_once_share_one_new_database(
    new_data_dir: Path, serve: Serve
) -> None:
    environment = {"DATA_DIR": str(new_data_dir)}
    one, other = serve(environment), serve(environment)
    one.wait_until_healthy()
    other.wait_until_healthy()
    assert len(find_postmasters(new_data_dir / "postgres")) == 1
    token = printed_token(one)
    headers = {"Authorization": f"Bearer {token}"}
    written = httpx.post(f"{one.url}/api/tasks", headers=headers, json={"title": "Shared"})
    assert tasks(other, token).json() == [written.json()]
    one.stop()
    assert tasks(other, token).json() == [written.json()]
    other.stop()
    wait_until_ended([], new_data_dir)


# Where it is started, and by whom


def test_settings_come_from_env_in_the_working_directory(
    migrated_data_dir: Path, serve: Serve, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / ".env").write_text(
        f"PORT={port}\nDATA_DIR={migrated_data_dir.name}\nBETTER_AUTH_SECRET={SECRET}\n"
    )
    service = serve(UNSET, port=port, cwd=tmp_path).wait_until_healthy()
    with AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task("In the data directory of .env")
    (server,) = find_postmasters(migrated_data_dir / "postgres")
    service.stop()
    wait_until_ended([server], migrated_data_dir)


def test_the_environment_takes_precedence_over_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\nJWT_ISSUER=from .env\n")
    for issuer, expected in {None: "from .env", "somebody": "somebody"}.items():
        environment = {**UNSET, "JWT_ISSUER": issuer}
        printed = todo_api("token", "--user", "bob", environment=environment, cwd=tmp_path)
        claims = jwt.decode(printed.stdout.strip(), SECRET.encode(), ["HS256"])
        assert claims["iss"] == expected


@pytest.mark.parametrize("content", [b"PORT=\xff\n", b"PORT=\0\n"])
def test_an_env_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    command = ["token", "--user", "alice"]
    sentence = error_message(todo_api(*command, environment=UNSET, cwd=tmp_path))
    assert sentence.startswith(".env cannot be read: ")


def test_without_settings_the_data_is_in_the_working_directory(
    tmp_path: Path, data_dir_template: Path, serve: Serve
) -> None:
    data = tmp_path / ".data"
    subprocess.run(["cp", "-a", str(data_dir_template), str(data)], check=True)
    port = free_port()
    try:
        service = serve({**UNSET, "PORT": str(port)}, port=port, cwd=tmp_path)
        service.wait_until_healthy()
        assert tasks(service, printed_token(service)).status_code == 200
        assert len(find_postmasters(data / "postgres")) == 1
        service.stop()
    finally:
        kill_postmasters(data / "postgres")


@as_root
def test_root_serves_with_a_postgresql_of_another_user(
    new_data_dir: Path, serve: Serve
) -> None:
    service = serve(settings_for(new_data_dir)).wait_until_healthy()
    with AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task("Written for root")
    (server,) = find_postmasters(new_data_dir / "postgres")
    assert 0 not in server.uids()
    service.stop()
    wait_until_ended([server], new_data_dir)


@pytest.fixture
def ordinary_user(new_data_dir: Path) -> tuple[str, ...]:
    """Return the prefix that makes a command an ordinary user's, who owns `place`.

    Where Python or the checkout is below a 0700 home, that user gets the right to read
    everything; never the right to write.
    """
    new_data_dir.mkdir()
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: without setpriv, root cannot become an ordinary user here")
    nobody = pwd.getpwnam("nobody")
    os.chown(new_data_dir, nobody.pw_uid, nobody.pw_gid)
    drop_root = (
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
    )
    reader = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for rights in ((), (*reader, "--securebits=+no_setuid_fixup")):
        prefix = (*drop_root, *rights)
        reading = f"import os, psycopg, settings; os.listdir({str(new_data_dir)!r})"
        attempt = [*prefix, sys.executable, "-c", reading]
        tried = subprocess.run(
            attempt, cwd=ROOT, env=bare_environment(), capture_output=True, check=False
        )
        if tried.returncode == 0:
            return prefix
    pytest.skip("NOT TESTED: no ordinary user can read Python and this checkout here")


def test_an_ordinary_user_serves(
    new_data_dir: Path, serve: Serve, ordinary_user: tuple[str, ...]
) -> None:
    service = serve(settings_for(new_data_dir), prefix=ordinary_user).wait_until_healthy()
    with AuthedClient(service.url, new_user_id()) as alice:
        alice.create_task("Written for an ordinary user")
    process = psutil.Process(service.process.pid)
    (server,) = find_postmasters(new_data_dir / "postgres")
    assert 0 not in process.uids()
    assert server.uids() == process.uids()
    assert stat.S_IMODE((new_data_dir / "postgres").stat().st_mode) == 0o700
    service.stop()
    wait_until_ended([server], new_data_dir)


# Errors at startup


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
    sentence = error_message(todo_api("serve", environment=environment, prefix=ordinary_user))
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


# migrate, token, help


def test_migrate_brings_a_new_database_up_to_date_and_stops(new_data_dir: Path) -> None:
    for _ in range(2):  # the second time there is nothing to do
        done = todo_api("migrate", environment=settings_for(new_data_dir))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_until_ended([], new_data_dir)
    postgres = Postgres(new_data_dir / "postgres")
    assert postgres.database.scalar("SELECT to_regclass('todo.tasks')::text") == "todo.tasks"


def claims(printed: subprocess.CompletedProcess[str], **expected: Any) -> dict[str, Any]:
    """Return what a token says that was printed, and nothing beside it."""
    assert (printed.returncode, printed.stderr) == (0, "")
    (line,) = printed.stdout.splitlines()
    said: dict[str, Any] = jwt.decode(line, SECRET.encode(), ["HS256"], **expected)
    return said


def test_a_token_is_for_the_user_and_valid_for_a_day() -> None:
    before = int(time.time())
    command = ["token", "--user", "Ωmega@example.com"]
    said = claims(todo_api(*command, environment={"BETTER_AUTH_SECRET": SECRET}))
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
            for name in ("serve", "migrate", "export", "erase", "block", "unblock", "token")
        ),
    ],
)
def test_every_command_explains_itself(
    run_in_process: RunInProcess, command: list[str]
) -> None:
    helped = run_in_process(*command, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"usage: {' '.join(['todo-api', *command])} [-h]")


@pytest.mark.parametrize("arguments", [[], ["destroy"]])
def test_a_command_that_is_missing_or_unknown_is_explained(
    run_in_process: RunInProcess, arguments: list[str]
) -> None:
    refused = run_in_process(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "usage: todo-api" in refused.stderr
