"""The worker processes: forked from one that has imported the application."""

import signal
import time
from contextlib import suppress

import psutil
import pytest

from handlers.server.run import STARTUP_TIMEOUT
from harness.postgres import Postgres, is_running, wait_until
from harness.service import COMMAND, Serve, Service
from harness.workers import fork_servers, server_processes

pytest_plugins = ["harness.isolated_services"]


@pytest.fixture
def two_workers(postgres: Postgres, serve: Serve) -> Service:
    service = serve(postgres.environment, "--workers", "2", command=COMMAND)
    service.wait_until_healthy()
    wait_until(lambda: len(server_processes(service)) == 2)
    return service


def test_workers_share_the_memory_of_what_they_have_imported(two_workers: Service) -> None:
    (fork_server,) = fork_servers(two_workers)
    for process in (fork_server, *server_processes(two_workers)):
        assert any("psycopg_binary" in each.path for each in process.memory_maps())
        memory = process.memory_full_info()
        assert memory.uss < memory.rss / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_neither_workers_nor_their_fork_server_outlive_the_parent(
    two_workers: Service, number: int
) -> None:
    processes = fork_servers(two_workers) | server_processes(two_workers)
    assert len(processes) == 3
    two_workers.stop(number)
    wait_until(lambda: not any(map(is_running, processes)))


def test_a_fork_server_that_has_died_is_replaced_with_the_next_worker(
    two_workers: Service,
) -> None:
    (fork_server,) = fork_servers(two_workers)
    workers = server_processes(two_workers)
    fork_server.kill()
    for worker in workers:
        with suppress(psutil.NoSuchProcess):  # the parent kills what it has lost sight of
            psutil.Process(worker.pid).kill()
    wait_until(lambda: len(server_processes(two_workers) - workers) == 2)
    two_workers.wait_until_healthy()


def test_a_worker_that_is_killed_while_it_does_not_reply_is_replaced_at_once(
    two_workers: Service,
) -> None:
    workers = server_processes(two_workers)
    worker = psutil.Process(min(each.pid for each in workers))
    worker.suspend()
    time.sleep(1.5)  # the parent asks every half second
    worker.kill()
    killed = time.monotonic()
    wait_until(lambda: len(server_processes(two_workers) - workers) == 1)
    assert time.monotonic() - killed < STARTUP_TIMEOUT / 2
