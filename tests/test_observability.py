"""What an operator sees of a running service: its logs, metrics and traces."""

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psutil
import pytest

from app import METRICS_DIR
from handlers.observability.exporter import COUNTERS, GAUGES, SUMMARIES
from handlers.observability.metrics import NO_OPERATION
from harness.clients import AuthedClient, new_user_id, token
from harness.metrics import scrape
from harness.otlp import Collector, attributes, running_collector
from harness.postgres import wait_until
from harness.service import SECRET, Serve, Service, free_port
from harness.workers import server_processes
from openapi import contract

pytest_plugins = ["harness.isolated_services"]

OPERATIONS = contract.load().operations
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
TITLE, SEARCH = "the cake", "sugar and spice"
POOL_SIZE = 10  # the default

Line = dict[str, Any]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def observed(
    service: Service, data_dir: Path, collector: Collector, metrics_port: int
) -> Iterator[Service]:
    """Run a second service on the same database: two workers that tell all they can."""
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "WORKERS": "2",
        "ACCESS_LOG": "true",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
        "DATABASE_SLOW_STATEMENT": "0.000001",
        "METRICS_PORT": str(metrics_port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    observed = Service(environment, data_dir / "observed.log")
    try:
        yield observed.wait_until_healthy()
    finally:
        observed.stop()


@pytest.fixture
def client(observed: Service) -> Iterator[AuthedClient]:
    """Return the client of a new user."""
    with AuthedClient(observed.url, new_user_id()) as client:
        yield client


@pytest.fixture
def new_client(observed: Service) -> Iterator[Callable[[], AuthedClient]]:
    """Return a function that makes clients of new users, each with a new connection."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(AuthedClient(observed.url, new_user_id()))


def lines(observed: Service) -> list[Line]:
    """Return the lines of standard error, each of which must be JSON."""
    return [json.loads(line) for line in observed.log.read_text().splitlines()]


def lines_of(observed: Service, response: httpx.Response) -> list[Line]:
    """Return what was logged during one request."""
    request_id = response.headers["x-request-id"]
    return [line for line in lines(observed) if line.get("request_id") == request_id]


# Logs


def test_every_line_of_the_log_is_a_json_object(observed: Service) -> None:
    def started() -> int:
        messages = [line["message"] for line in lines(observed)]
        return messages.count("Application startup complete.")

    wait_until(lambda: started() == 2)
    logged = lines(observed)
    assert all(line.keys() >= {"timestamp", "level", "logger", "message"} for line in logged)
    messages = [line["message"] for line in logged if line["logger"] == "uvicorn.error"]
    assert any("Started parent process" in message for message in messages)


def test_messages_of_a_first_start_are_json_objects_too(
    migrated_data_dir: Path, serve: Serve
) -> None:
    environment = {"DATA_DIR": str(migrated_data_dir), "LOG_FORMAT": "JSON"}
    service = serve(environment).wait_until_healthy()
    service.stop()
    notice, *others = lines(service)
    assert notice["level"] == "WARNING"
    assert notice["message"].startswith("BETTER_AUTH_SECRET is not set: made one for")
    assert {line["logger"] for line in others} == {"uvicorn.error"}


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("WORKERS", "none", "WORKERS must be "),
        ("PORT", "1", "Cannot listen on 192.0.2.1:1 "),
    ],
)
def test_an_error_that_prevents_the_start_is_a_json_object(
    setting: str, value: str, message: str, serve: Serve
) -> None:
    environment = {"BETTER_AUTH_SECRET": SECRET, "LOG_FORMAT": "json", "HOST": "192.0.2.1"}
    service = serve({**environment, setting: value})
    assert service.process.wait() == 1
    (line,) = lines(service)
    assert line["level"] == "ERROR"
    assert line["message"].startswith(message)


def test_every_line_of_a_request_has_its_ids(observed: Service, client: AuthedClient) -> None:
    response = client.get("/api/tasks", headers=TRACED)
    logged = lines_of(observed, response)
    assert {line["trace_id"] for line in logged} == {TRACE}
    slow, access = logged
    assert slow["logger"] == "todo.database"
    assert slow["message"].startswith("the statement list_all_by_created took ")
    assert access["logger"] == "todo.access"
    assert access["message"].startswith("GET /api/tasks 200 ")
    assert (access["method"], access["path"], access["status"]) == ("GET", "/api/tasks", 200)
    assert access["milliseconds"] > 0


def test_the_access_log_says_which_form_of_the_path_was_asked_for(
    observed: Service, client: AuthedClient
) -> None:
    response = client.get(f"/api/{client.id}/tasks")
    assert [line["path"] for line in lines_of(observed, response) if "path" in line] == [
        "/api/{user_id}/tasks"
    ]


def test_the_method_of_a_head_request_is_logged_and_traced(
    observed: Service, collector: Collector, client: AuthedClient
) -> None:
    response = client.head("/api/tasks")
    logged = [line["method"] for line in lines_of(observed, response) if "method" in line]
    assert logged == ["HEAD"]
    trace = response.headers["x-request-id"]
    wait_until(lambda: spans_of(collector, trace))
    (span,) = spans_of(collector, trace)
    assert attributes(span)["http.request.method"] == "HEAD"
    assert span.name == "list_tasks"


def test_the_log_contains_nothing_of_a_user(observed: Service, client: AuthedClient) -> None:
    task = client.create_task(TITLE, description=TITLE, tags=[TITLE])
    bad_token = token(client.id, secret=f"not {SECRET}")
    responses = [
        client.get("/api/tasks", params={"search": SEARCH}),
        client.get("/api/tasks", params={"search": SEARCH, "limit": "x"}),
        client.get(f"/api/{client.id}/tasks/{task['id']}"),
        client.get(f"/api/{client.id}/task"),
        client.get("/api/tasks", headers={"Authorization": f"Bearer {bad_token}"}),
        client.get("/no-such-path", params={"access_token": bad_token}),
        client.put(f"/api/tasks/{task['id']}", json={"title": TITLE, "status": SEARCH}),
        client.post("/api/tasks", json={"title": TITLE}, headers={"Idempotency-Key": TITLE}),
        client.delete(f"/api/tasks/{task['id']}"),
    ]
    log = observed.log.read_text()
    assert all(response.headers["x-request-id"] in log for response in responses)
    good_token = client.headers["authorization"].removeprefix("Bearer ")
    for text in (TITLE, SEARCH, SEARCH.split(maxsplit=1)[0], client.id, SECRET, "access_token"):
        assert text not in log
    for part in (*good_token.split("."), *bad_token.split(".")):
        assert part not in log


# Metrics


def snapshots(observed: Service) -> list[Path]:
    """Wait until each worker has written its figures anew, and return the files."""
    now = time.time()
    environments = [worker.environ() for worker in observed.workers()]
    (directory,) = {each[METRICS_DIR] for each in environments if METRICS_DIR in each}
    paths = [Path(directory) / f"{worker}.json" for worker in server_pids(observed)]
    wait_until(lambda: all(path.exists() and path.stat().st_mtime > now for path in paths))
    return paths


def server_pids(observed: Service) -> list[int]:
    """Return the ids of the worker processes, without the helper of multiprocessing."""
    return [each.pid for each in server_processes(observed)]


def test_requests_of_all_workers_are_counted_by_operation_and_status(
    observed: Service, metrics_port: int, new_client: Callable[[], AuthedClient]
) -> None:
    key = ("todo_requests_total", "get_task", "404")
    took = ("todo_request_duration_seconds_count", "get_task")
    snapshots(observed)
    before = scrape(metrics_port)
    for _ in range(20):
        assert new_client().get(f"/api/tasks/{uuid4()}").status_code == 404
    paths = snapshots(observed)
    after = scrape(metrics_port)
    assert after["todo_workers",] == len(paths) == 2
    assert after[key] == before[key] + 20
    assert after[took] == before[took] + 20
    requests = [orjson.loads(path.read_bytes())["requests"] for path in paths]
    assert all(each["get_task"]["404"] > 0 for each in requests)


def test_every_metric_is_among_the_figures_of_each_worker(observed: Service) -> None:
    for path in snapshots(observed):
        figures = orjson.loads(path.read_bytes())
        for section, *keys, _ in (*GAUGES.values(), *COUNTERS.values(), *SUMMARIES.values()):
            # Keys are published only if the service fetches some.
            assert section == "keys" or figures[section].keys() >= set(keys)


def test_figures_of_the_pool_and_the_token_cache_are_counted(
    observed: Service, metrics_port: int, client: AuthedClient
) -> None:
    round_trips = ("todo_database_round_trip_seconds_count",)
    hits, misses = ("todo_token_cache_hits_total",), ("todo_token_cache_misses_total",)
    snapshots(observed)
    before = scrape(metrics_port)
    for _ in range(3):  # over one connection, to one worker
        client.list_tasks()
    snapshots(observed)
    after = scrape(metrics_port)
    # Or more: each worker also looks for blocked users.
    assert after[round_trips] >= before[round_trips] + 3
    assert after["todo_database_round_trip_seconds_sum",] > 0
    assert after[hits] == before[hits] + 2
    assert after[misses] == before[misses] + 1
    assert after["todo_database_connections",] == 2 * POOL_SIZE
    assert after["todo_build_info", contract.load().version] == 1


def test_open_connections_are_counted(observed: Service, metrics_port: int) -> None:
    name = ("todo_connections",)
    with ExitStack() as connections:
        for _ in range(30):
            connection = socket.create_connection(("127.0.0.1", observed.port))
            connections.enter_context(connection)
        wait_until(lambda: scrape(metrics_port)[name] >= 30)
    wait_until(lambda: scrape(metrics_port)[name] < 30)


def test_labels_are_operations_and_never_paths_or_people(
    observed: Service, metrics_port: int, client: AuthedClient
) -> None:
    client.get(f"/api/{client.id}/tasks/{client.id}")
    client.get(f"/{client.id}")
    snapshots(observed)
    text = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    assert client.id not in text
    assert "/" not in "".join(line for line in text.splitlines() if line[0] != "#")
    named = {key[1] for key in scrape(metrics_port) if key[0] == "todo_requests_total"}
    assert named == {*OPERATIONS, NO_OPERATION}


def test_metrics_are_never_on_the_port_of_the_api(
    observed: Service, service: Service, metrics_port: int
) -> None:
    assert httpx.get(f"{observed.url}/metrics").status_code == 404
    assert scrape(metrics_port)
    sockets = psutil.Process(service.process.pid).net_connections(kind="inet")
    listening = {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening == {service.port}


# Traces


def test_a_request_is_a_span_below_the_traceparent_that_was_sent(
    collector: Collector, client: AuthedClient
) -> None:
    task = client.create_task(TITLE)
    trace = secrets.token_hex(16)
    header = {"traceparent": f"00-{trace}-{PARENT}-01"}
    before = time.time_ns()
    client.get(f"/api/{client.id}/tasks/{task['id']}", params={"a": SEARCH}, headers=header)
    client.get(f"/api/{client.id}/tasks/{task['id']}", headers=header)
    wait_until(lambda: len(spans_of(collector, trace)) == 2)
    bad, good = sorted(spans_of(collector, trace), key=lambda span: span.end_time_unix_nano)
    assert (bad.name, good.name) == ("get_task", "get_task")
    assert good.parent_span_id.hex() == PARENT
    assert good.kind == good.SPAN_KIND_SERVER
    assert before < good.start_time_unix_nano < good.end_time_unix_nano < time.time_ns()
    assert attributes(good) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/api/tasks/{task_id}",
    }
    assert attributes(bad)["http.response.status_code"] == 400
    exported = str(collector.spans)
    for text in (client.id, task["id"], TITLE, SEARCH.split(maxsplit=1)[0]):
        assert text not in exported


def test_a_trace_that_begins_here_has_the_id_of_its_request(
    collector: Collector, client: AuthedClient
) -> None:
    responses = [client.get("/api/tasks"), client.get(f"/{client.id}")]
    ids = [response.headers["x-request-id"] for response in responses]
    wait_until(lambda: all(spans_of(collector, each) for each in ids))
    spans = [span for each in ids for span in spans_of(collector, each)]
    assert [span.name for span in spans] == ["list_tasks", "GET"]
    assert [span.parent_span_id for span in spans] == [b"", b""]
    assert "http.route" not in attributes(spans[1])


def test_the_service_is_named_with_its_version(
    collector: Collector, client: AuthedClient
) -> None:
    client.list_tasks()
    wait_until(lambda: collector.resources)
    assert collector.resources[0]["service.name"] == "todo-api"
    assert collector.resources[0]["service.version"] == contract.load().version


def spans_of(collector: Collector, trace: str) -> list[Any]:
    return [span for span in collector.spans if span.trace_id.hex() == trace]
