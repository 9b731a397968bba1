"""The embedded PostgreSQL, used by processes that start, overlap, exit and are killed."""

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from models import embedded
from models.embedded import binaries, cluster, supervisor
from models.embedded.cluster import locked

REPOSITORY = Path(__file__).parents[3]
AWKWARD_NAME = 'la tâche d\'"été" à $HOME'
SERVICE = """
import sys
from pathlib import Path
from models import embedded
with embedded.running(Path(sys.argv[1])) as urls:
    print(urls.owner, flush=True)
    sys.stdin.readline()
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
as_ordinary_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")


class Service:
    """A process that keeps the database running until `leave`."""

    def __init__(
        self, data_dir: Path, script: str = SERVICE, prefix: tuple[str, ...] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", script, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate("leave\n")
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Service]


def scalar(url: str, query: str, **options: Any) -> Any:
    """Run one statement; return the first column of its first row, if it has any."""
    with psycopg.connect(url, autocommit=True, **options) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def superuser(data_dir: Path) -> psycopg.Connection[tuple[Any, ...]]:
    return cluster.Cluster(data_dir / "postgres").connect()


def processes(argument: str) -> list[psutil.Process]:
    """Return the processes with this argument, without their forked children."""
    everything = psutil.process_iter(["cmdline", "ppid"])
    found = [process for process in everything if argument in (process.info["cmdline"] or ())]
    pids = {process.pid for process in found}
    return [process for process in found if process.info["ppid"] not in pids]


def servers(data_dir: Path) -> list[psutil.Process]:
    return processes(f"-D{data_dir}/postgres/pgdata")


def initdbs(data_dir: Path) -> list[psutil.Process]:
    return processes(f"--pgdata={data_dir}/postgres/pgdata.new")


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def write_pid_file(data_dir: Path, pid: int, port: int) -> None:
    """Write the postmaster.pid of a server that is ready."""
    pgdata = data_dir / "postgres/pgdata"
    pid_file = pgdata / "postmaster.pid"
    pid_file.write_text(f"{pid}\n{pgdata}\n1\n{port}\n\n127.0.0.1\n1 1\nready   \n")
    os.chown(pid_file, pgdata.stat().st_uid, pgdata.stat().st_gid)


def error_message(data_dir: Path) -> str:
    """Fail to run PostgreSQL; return the message of the error."""
    with pytest.raises(embedded.EmbeddedError) as raised, embedded.running(data_dir):
        pass
    return str(raised.value)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """Return the path of a data directory to be created; kills its PostgreSQL afterwards."""
    path = tmp_path / AWKWARD_NAME
    yield path
    for process in [*initdbs(path), *servers(path)]:
        process.kill()


@pytest.fixture(scope="module")
def template_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a stopped cluster, to be copied."""
    path = tmp_path_factory.mktemp("template")
    with embedded.running(path):
        pass
    return path


@pytest.fixture
def data_dir(empty: Path, template_data_dir: Path) -> Path:
    """Return a data directory with a stopped cluster."""
    subprocess.run(["cp", "-a", str(template_data_dir), str(empty)], check=True)
    return empty


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts services; they are killed after the test."""
    services: list[Service] = []

    def start_one(*arguments: Any, **options: Any) -> Service:
        services.append(Service(*arguments, **options))
        return services[-1]

    yield start_one
    for service in services:
        service.kill()


# State after a start


def test_the_first_start_creates_a_private_cluster(empty: Path) -> None:
    with embedded.running(empty) as urls, superuser(empty) as connection:
        home = empty / "postgres"
        for private in (empty, home, home / "pgdata"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for file in home.iterdir():
            assert file.name == "pgdata" or stat.S_IMODE(file.stat().st_mode) == 0o600
        for setting, value in {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
            "data_checksums": "on",
        }.items():
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
        locale = (
            "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'todo'"
        )
        assert scalar(urls.owner, locale) == "bC.UTF-8"
    assert servers(empty) == []


def test_the_owner_role_owns_the_database_and_can_only_create_roles(
    data_dir: Path,
) -> None:
    with embedded.running(data_dir) as urls:
        assert scalar(urls.owner, "SELECT current_user") == "todo_owner"
        assert scalar(urls.owner, ROLE_ATTRIBUTES) == ["createrole", "inherit"]
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'todo'"
        assert scalar(urls.owner, owner) == "todo_owner"


def test_the_login_role_has_no_attributes_and_owns_nothing(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        assert scalar(urls.app, "SELECT current_user") == "todo_login"
        assert scalar(urls.app, ROLE_ATTRIBUTES) is None
        owned = "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'todo_login'::regrole"
        assert scalar(urls.app, owned) == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            scalar(urls.app, "CREATE TABLE mine (id int)")


ROLE_ATTRIBUTES = """
SELECT array_agg(power ORDER BY power) FROM pg_roles, LATERAL (VALUES
    ('superuser', rolsuper), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
    ('inherit', rolinherit), ('replication', rolreplication), ('bypassrls', rolbypassrls)
) AS powers (power, given) WHERE given AND rolname = current_user
"""


def test_every_role_needs_its_password(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        for user in ("postgres", "todo_owner", "todo_login"):
            with pytest.raises(
                psycopg.OperationalError, match="password authentication failed"
            ):
                scalar(urls.owner, "SELECT 1", user=user, password="guessed")


def test_each_password_is_hashed_once_only(data_dir: Path) -> None:
    with embedded.running(data_dir), superuser(data_dir) as connection:
        query = "SELECT rolpassword FROM pg_authid WHERE rolcanlogin"
        digests = [digest for (digest,) in connection.execute(query)]
    assert [digest.partition(":")[0] for digest in digests] == 3 * ["SCRAM-SHA-256$1"]


def test_passwords_are_in_no_log_and_on_no_command_line(empty: Path, start: Start) -> None:
    seen: set[str] = set()
    service = start(empty)
    wait_until(lambda: initdbs(empty))
    while not servers(empty):
        seen |= {
            " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline"])
        }
    service.leave()
    home = empty / "postgres"
    seen.add((home / "log").read_text())
    passwords = cluster.Cluster(home).passwords()
    assert len(set(passwords.values())) == 3
    assert not [text for text in seen if any(word in text for word in passwords.values())]


def test_printing_the_urls_shows_no_password() -> None:
    assert "hush" not in repr(embedded.Urls(app="hush", owner="hush"))


def test_committed_data_survives_a_restart(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        scalar(urls.owner, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.running(data_dir) as again:
        assert scalar(again.owner, "SELECT answer FROM kept") == 42


def test_the_server_does_not_inherit_the_secrets_of_the_service(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "hush")
    with embedded.running(data_dir), superuser(data_dir) as connection:
        connection.execute("CREATE TEMPORARY TABLE environment (line text)")
        connection.execute("COPY environment FROM PROGRAM 'env'")
        environment = str(connection.execute("SELECT line FROM environment").fetchall())
    assert "PWD=" in environment
    assert "hush" not in environment


def test_libpq_environment_variables_are_ignored(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGHOSTADDR": "127.0.0.9",
        "PGPORT": "1",
        "PGSSLMODE": "require",
    }.items():
        monkeypatch.setenv(name, value)
    with embedded.running(data_dir):
        assert len(servers(data_dir)) == 1
    assert servers(data_dir) == []


# Sharing and stopping


def test_an_error_in_the_body_propagates_and_the_server_is_stopped(
    data_dir: Path,
) -> None:
    with pytest.raises(ZeroDivisionError), embedded.running(data_dir):
        _ = 1 / 0
    assert servers(data_dir) == []


def test_a_session_that_ends_because_the_server_stops_is_no_error(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut_down = cluster._shut_down  # noqa: SLF001
    attempts: list[int] = []

    def ending_at_first(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        attempts.append(connection.info.backend_pid)
        if len(attempts) == 1:
            with pytest.raises(psycopg.errors.AdminShutdown):
                connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        shut_down(connection)

    with embedded.running(data_dir):
        monkeypatch.setattr(cluster, "_shut_down", ending_at_first)
    assert len(attempts) == 2
    assert servers(data_dir) == []


def test_a_server_that_has_just_ended_is_no_error(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = os.kill
    signals: list[int] = []

    def missing_at_first(pid: int, number: int) -> None:
        signals.append(number)
        if len(signals) == 1:
            raise ProcessLookupError
        kill(pid, number)

    with embedded.running(data_dir):
        monkeypatch.setattr(os, "kill", missing_at_first)
    assert signals == [signal.SIGINT, signal.SIGINT]
    assert servers(data_dir) == []


def test_two_commands_started_concurrently_share_one_server(empty: Path, start: Start) -> None:
    services = [start(empty), start(empty)]
    urls = {service.url() for service in services}
    assert len(urls) == 1
    services[0].leave()
    assert scalar(urls.pop(), "SELECT 1") == 1
    services[1].leave()
    assert servers(empty) == []


def test_overlapping_commands_always_find_a_server(data_dir: Path) -> None:
    def start_and_stop(_: int) -> int:
        with embedded.running(data_dir) as urls:
            one = scalar(urls.app, "SELECT 1")
            assert len(servers(data_dir)) == 1
        return int(one)

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(start_and_stop, range(30))) == [1] * 30
    assert servers(data_dir) == []


def test_ctrl_c_lets_the_service_drain_before_the_server_stops(
    data_dir: Path, start: Start
) -> None:
    drain = """
import sys, time, psycopg
from pathlib import Path
from models import embedded
with embedded.running(Path(sys.argv[1])) as urls:
    try:
        print(urls.owner, flush=True)
        while True:
            time.sleep(0.1)  # a read would go on if the signal came just before it
    except KeyboardInterrupt:
        time.sleep(0.2)
        with psycopg.connect(urls.owner) as connection:
            connection.execute("CREATE TABLE drained ()")
"""
    service = start(data_dir, drain)
    service.url()
    os.killpg(service.process.pid, signal.SIGINT)  # as a terminal does
    assert service.process.wait(20) == 0
    assert servers(data_dir) == []
    with embedded.running(data_dir) as urls:
        assert scalar(urls.owner, "SELECT to_regclass('drained')::text") == "drained"


def test_a_copy_of_a_running_cluster_gets_a_server_of_its_own(
    data_dir: Path, start: Start, tmp_path: Path
) -> None:
    original = start(data_dir)
    url = original.url()
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(data_dir), str(copy)], check=True)
    with embedded.running(copy) as urls:
        assert urls.owner != url
        assert len(servers(copy)) == 1
    assert servers(copy) == []
    assert scalar(url, "SELECT 1") == 1
    original.leave()


def test_exiting_after_the_directory_was_replaced_spares_the_new_server(
    data_dir: Path, template_data_dir: Path, start: Start, tmp_path: Path
) -> None:
    old = start(data_dir)
    old.url()
    (old_server,) = servers(data_dir)
    data_dir.rename(tmp_path / "moved away")
    subprocess.run(["cp", "-a", str(template_data_dir), str(data_dir)], check=True)
    new = start(data_dir)
    url = new.url()
    old.leave()
    assert scalar(url, "SELECT 1") == 1
    new.leave()
    old_server.kill()


# Kills


def test_an_orphaned_server_is_found_again_and_stopped(data_dir: Path, start: Start) -> None:
    service = start(data_dir)
    url = service.url()
    service.kill()
    assert scalar(url, "SELECT 1") == 1
    with embedded.running(data_dir) as urls:
        assert urls.owner == url
    assert servers(data_dir) == []


def test_a_killed_server_is_replaced_while_its_service_lives(
    data_dir: Path, start: Start
) -> None:
    service = start(data_dir)
    scalar(service.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    servers(data_dir)[0].kill()
    with embedded.running(data_dir) as urls:
        assert scalar(urls.owner, "SELECT answer FROM kept") == 42
    service.leave()  # the server was still in use, so it is stopped only now
    assert servers(data_dir) == []


def test_a_start_recovers_when_service_and_server_were_killed(
    data_dir: Path, start: Start
) -> None:
    service = start(data_dir)
    scalar(service.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    service.kill()
    servers(data_dir)[0].kill()
    with embedded.running(data_dir) as urls:
        assert scalar(urls.owner, "SELECT answer FROM kept") == 42


def test_a_service_whose_server_was_killed_exits_cleanly(data_dir: Path) -> None:
    with embedded.running(data_dir):
        servers(data_dir)[0].kill()
    assert servers(data_dir) == []


def test_another_process_with_the_recorded_pid_and_port_is_left_alone(data_dir: Path) -> None:
    owner = (data_dir / "postgres/pgdata").stat().st_uid
    other = subprocess.Popen(["sleep", "60"], user=owner)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        write_pid_file(data_dir, other.pid, port)
        with embedded.running(data_dir) as urls:
            assert f":{port}/" not in urls.owner
            assert scalar(urls.owner, "SELECT 1") == 1
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_server_that_requires_no_password_is_not_accepted(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept_any_login(listener: socket.socket) -> None:
        listener.settimeout(0.5)
        with suppress(TimeoutError):
            while True:
                with listener.accept()[0] as client:
                    client.recv(1024)
                    client.sendall(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")  # authenticated; ready

    monkeypatch.setattr(cluster, "_STARTUP_TIMEOUT", 0.2)
    with (
        ThreadPoolExecutor() as pool,
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
        locked(data_dir / "postgres/server.lock"),
    ):
        write_pid_file(data_dir, os.getpid(), listener.getsockname()[1])
        logins = pool.submit(accept_any_login, listener)
        assert "runs but does not answer" in error_message(data_dir)
        logins.result()


@pytest.mark.parametrize("kill_initdb", [False, True])
def test_an_interrupted_initdb_is_started_over(
    empty: Path, start: Start, *, kill_initdb: bool
) -> None:
    service = start(empty)
    wait_until((empty / "postgres/pgdata.new/PG_VERSION").exists)
    service.kill()
    if kill_initdb:
        for process in initdbs(empty):
            process.kill()
    assert not (empty / "postgres/pgdata").exists()
    with embedded.running(empty) as urls:
        assert scalar(urls.app, "SELECT current_database()") == "todo"
    assert sorted(path.name for path in (empty / "postgres").iterdir()) == [
        "log", "pgdata", "secrets", "server.lock", "start.lock", "use.lock",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["_create_roles", "_atomic_rename"])
def test_an_interrupted_first_start_is_completed(empty: Path, start: Start, step: str) -> None:
    kill_self = "import os; from models.embedded import cluster\n"
    kill_self += f"cluster.{step} = lambda *_: os.kill(os.getpid(), 9)\n"
    assert start(empty, kill_self + SERVICE).process.wait(20) == -signal.SIGKILL
    with embedded.running(empty) as urls:
        assert scalar(urls.app, "SELECT current_database()") == "todo"


# Supervision


def is_up(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        return bool(scalar(url, "SELECT 1") == 1)
    return False


def starts(data_dir: Path) -> int:
    """Return how often the server has been started, as its log says."""
    return (data_dir / "postgres/log").read_text().count("starting PostgreSQL")


def test_a_server_that_dies_is_started_again_on_its_port_with_all_data(data_dir: Path) -> None:
    with embedded.running(data_dir) as urls:
        scalar(urls.owner, "CREATE TABLE kept AS SELECT 42 AS answer")
        for _ in range(2):
            (dying,) = servers(data_dir)
            dying.kill()
            wait_until(lambda: is_up(urls.app))
            assert servers(data_dir) != [dying]
        assert scalar(urls.owner, "SELECT answer FROM kept") == 42
    assert servers(data_dir) == []


def test_of_several_processes_one_starts_the_server_again(data_dir: Path, start: Start) -> None:
    services = [start(data_dir) for _ in range(4)]
    (url,) = {service.url() for service in services}
    before = starts(data_dir)
    for number in (1, 2):
        servers(data_dir)[0].kill()
        wait_until(lambda: is_up(url))
        assert starts(data_dir) == before + number
    for service in services:
        service.leave()
    assert servers(data_dir) == []


def test_a_process_that_starts_first_after_the_death_keeps_the_port(
    data_dir: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_CHECK_INTERVAL", 60)
    with embedded.running(data_dir) as urls:
        servers(data_dir)[0].kill()
        service = start(data_dir)
        assert service.url() == urls.owner
        assert is_up(urls.app)
        service.leave()


def test_a_directory_that_was_replaced_is_left_alone(
    data_dir: Path, template_data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "_CHECK_INTERVAL", 0.01)
    threads = threading.active_count()
    with embedded.running(data_dir):
        (old_server,) = servers(data_dir)
        data_dir.rename(tmp_path / "moved away")
        subprocess.run(["cp", "-a", str(template_data_dir), str(data_dir)], check=True)
        wait_until(lambda: threading.active_count() == threads)
        old_server.kill()
        assert servers(data_dir) == []


def test_a_server_that_cannot_be_started_again_is_tried_until_it_can(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_CHECK_INTERVAL", 0.1)
    with embedded.running(data_dir) as urls:
        configuration = data_dir / "postgres/pgdata/postgresql.conf"
        valid = configuration.read_text()
        configuration.write_text(f"{valid}work_mem = 'plenty'\n")
        servers(data_dir)[0].kill()
        log = data_dir / "postgres/log"
        wait_until(lambda: log.read_text().count("contains errors") == 3)
        configuration.write_text(valid)
        wait_until(lambda: is_up(urls.app))


# Error messages


def test_another_port_is_tried_if_the_first_is_taken(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = cluster._free_port  # noqa: SLF001
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ports = iter([taken.getsockname()[1], find()])
        monkeypatch.setattr(cluster, "_free_port", lambda: next(ports))
        with embedded.running(data_dir) as urls:
            assert scalar(urls.owner, "SELECT 1") == 1


def test_a_server_that_cannot_start_is_reported_with_its_reason(data_dir: Path) -> None:
    with (data_dir / "postgres/pgdata/postgresql.conf").open("a") as settings:
        settings.write("work_mem = 'plenty'\n")
    assert re.search(r"does not start: .* contains errors; see .*log", error_message(data_dir))


def test_an_unresponsive_server_is_reported_and_left_running(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_STARTUP_TIMEOUT", 0.1)
    with locked(data_dir / "postgres/server.lock"):
        assert "runs but does not answer" in error_message(data_dir)


def test_a_failing_initdb_is_reported_with_its_reason(empty: Path) -> None:
    (empty / "postgres").mkdir(parents=True)
    (empty / "postgres/pgdata.new").write_text("in the way")
    assert re.search(r"initdb failed: .*pgdata.new.*; see .*log", error_message(empty))


def test_missing_binaries_are_reported_before_anything_is_created(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    assert re.search(r"set DATABASE_URL, or install", error_message(empty))
    assert not empty.exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{")])
def test_lost_passwords_are_reported(data_dir: Path, damage: Callable[[Path], object]) -> None:
    damage(data_dir / "postgres/secrets")
    assert re.search(r"secrets, which holds the passwords", error_message(data_dir))


def test_a_data_dir_that_is_a_file_is_reported(empty: Path) -> None:
    empty.write_text("a file")
    assert re.search(r"cannot be run in .*File exists", error_message(empty))


@as_ordinary_user
def test_a_read_only_directory_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert re.search(r"Permission denied", error_message(tmp_path / "data"))


# Root and other users


@as_root
def test_without_setpriv_root_gets_advice(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert re.search(r"setpriv .* is missing: run as another user", error_message(data_dir))


@as_root
def test_root_without_setuid_gets_the_reason(empty: Path, start: Start) -> None:
    script = SERVICE.replace("with", "try:\n with").replace("\n    ", "\n  ")
    script += "except embedded.EmbeddedError as error: print(error)\n"
    service = start(empty, script, prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    assert "initdb failed: setpriv: setresuid failed" in service.url()


@as_root
def test_a_server_started_by_root_keeps_one_capability(data_dir: Path) -> None:
    with embedded.running(data_dir):
        (server,) = servers(data_dir)
        assert set(server.uids()) == {pwd.getpwnam("nobody").pw_uid}
        capabilities = Path(f"/proc/{server.pid}/status").read_text()
        for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert f"{kind}:\t0000000000000002\n" in capabilities  # CAP_DAC_OVERRIDE


@as_root
def test_root_runs_the_cluster_of_an_ordinary_user_as_that_user(data_dir: Path) -> None:
    daemon = pwd.getpwnam("daemon").pw_uid
    subprocess.run(["chown", "-R", "daemon", str(data_dir)], check=True)
    with embedded.running(data_dir):
        assert set(servers(data_dir)[0].uids()) == {daemon}


@as_root
def test_an_ordinary_user_can_start_and_stop_a_cluster(empty: Path, start: Start) -> None:
    empty.mkdir(mode=0o700)
    shutil.chown(empty, "nobody")
    ordinary = (
        "setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups",
        # Only to read this Python and these tests.
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
        "--securebits=+no_setuid_fixup", "--",
    )  # fmt: skip
    if subprocess.run([*ordinary, "true"], check=False).returncode != 0:
        pytest.skip("this root cannot pass on that capability")
    for _ in range(2):
        service = start(empty, prefix=ordinary)
        assert scalar(service.url(), "SELECT 1") == 1
        service.leave()
    assert servers(empty) == []
