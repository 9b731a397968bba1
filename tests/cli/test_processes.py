"""Processes of `todo-api serve`: stopped, killed, replaced, or started twice."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness.clients import AuthedClient, new_user_id
from harness.postgres import find_postmasters, is_running, kill_postmasters, wait_until
from harness.service import COMMAND, Serve, Service, free_port
from harness.startup import STOPPED, printed_token, settings_for, tasks, wait_until_ended
from harness.workers import server_processes

pytest_plugins = ["harness.isolated_services"]


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
    environment = settings_for(migrated_data_dir)
    service = serve(environment, "--workers", "2", command=COMMAND).wait_until_healthy()
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
