"""/metrics: what it adds up, and what it keeps of a process that has ended."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from handlers.observability.exporter import serving_metrics
from handlers.observability.metrics import RequestMetrics
from harness.metrics import scrape
from harness.service import free_port

METRIC = "todo_requests_total"
STATE = {"state": {"operation_id": "get_task"}}


def figures(requests: int, open_connections: int) -> dict[str, object]:
    metrics = RequestMetrics({"get_task": [200, 404]})
    for _ in range(requests):
        metrics(STATE, 200, 0.003)
    return {
        "process": {"running": 1},
        "connections": {
            "open": open_connections,
            "rejected": 1,
            "timed_out": 0,
            "rejections": {"bad-request": 1, "uri-too-long": 0},
        },
        **metrics.figures(),
    }


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def directory(port: int) -> Iterator[Path]:
    with serving_metrics("127.0.0.1", port) as directory:
        yield directory


def write(directory: Path, pid: int, content: dict[str, object]) -> None:
    (directory / f"{pid}.json").write_bytes(orjson.dumps(content))


def test_the_figures_of_all_processes_are_added_up(directory: Path, port: int) -> None:
    write(directory, os.getpid(), figures(2, 3))
    write(directory, os.getppid(), figures(3, 4))
    samples = scrape(port)
    assert samples[METRIC, "get_task", "200"] == 5
    assert samples[METRIC, "get_task", "404"] == 0
    assert samples["todo_connections",] == 7
    assert samples["todo_connections_rejected_total",] == 2
    assert samples["todo_requests_rejected_total", "bad-request"] == 2
    assert samples["todo_requests_rejected_total", "uri-too-long"] == 0
    assert samples["todo_workers",] == 2
    buckets = [samples["todo_request_duration_seconds_bucket", "get_task", le]
               for le in ("0.0025", "0.005", "0.01", "+Inf")]  # fmt: skip
    assert buckets == [0, 5, 5, 5]
    assert samples["todo_request_duration_seconds_count", "get_task"] == 5
    assert samples["todo_request_duration_seconds_sum", "get_task"] == pytest.approx(0.015)
    assert 0 <= samples["todo_snapshot_age_seconds",] < 60


def test_what_an_ended_process_has_counted_is_kept(directory: Path, port: int) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    with worker:
        write(directory, worker.pid, figures(2, 3))
        assert scrape(port)["todo_workers",] == 1
    write(directory, os.getpid(), figures(1, 1))
    for _ in range(2):
        samples = scrape(port)
        assert samples[METRIC, "get_task", "200"] == 3
        assert samples["todo_connections_rejected_total",] == 2
        assert samples["todo_connections",] == 1
        assert samples["todo_workers",] == 1
    assert [path.stem for path in directory.iterdir()] == [str(os.getpid())]


def test_before_a_worker_has_started_everything_is_0(directory: Path, port: int) -> None:
    assert directory.exists()
    assert set(scrape(port).values()) == {0}


def test_nothing_is_left_when_it_stops(port: int) -> None:
    with serving_metrics("127.0.0.1", port) as directory:
        write(directory, os.getpid(), figures(1, 1))
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
    assert not directory.exists()
    with socket.create_server(("127.0.0.1", port)):
        pass
