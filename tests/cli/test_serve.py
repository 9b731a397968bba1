"""`todo-api serve`: what it prints, and where and by whom it may be started."""

import os
import re
import shutil
import socket
import stat
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import jwt
import psutil
import pytest

from handlers.server.run import ACCEPT_HANDLES
from harness.clients import AuthedClient, new_user_id
from harness.command import error_message, todo_api
from harness.postgres import Postgres, find_postmasters, kill_postmasters, wait_until
from harness.service import COMMAND, NO_TLS, SECRET, Serve, free_port
from harness.startup import UNSET, printed_token, settings_for, tasks, wait_until_ended

pytest_plugins = ["harness.isolated_services"]


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")


def responds(url: str) -> bool:
    """Return whether a healthy service listens at a URL."""
    with suppress(httpx.ConnectError):
        return httpx.get(url, verify=NO_TLS).status_code == httpx.codes.OK
    return False


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
    environment = {"DATA_DIR": str(new_data_dir)}
    service = serve(environment, command=COMMAND).wait_until_healthy()
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
    sockets: Counter[str] = Counter()
    for handle in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # a connection that is closed meanwhile
            sockets[str(handle.readlink())] += 1
    ((socket_name, count),) = sockets.most_common(1)
    assert socket_name.startswith("socket:")
    assert count == ACCEPT_HANDLES > 1


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
