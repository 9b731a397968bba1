"""OpenTelemetry is imported only if it is configured, and never keeps the process."""

import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from handlers.middleware.request_context import current_request
from handlers.observability import tracing, wants_traces
from handlers.observability.tracing import Tracing
from harness.otlp import running_collector
from harness.service import ROOT, SECRET, bare_environment, free_port

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
TRACES_ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}

BUILD = """
import logging, sys
logging.basicConfig()
if "--without-otel" in sys.argv:
    sys.modules["opentelemetry"] = None
import app, cli, settings, os
app.create_app(settings.load(os.environ))
print(*{name.partition(".")[0] for name, module in sys.modules.items() if module})
"""


def build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the service in a process that prints which packages it has imported then."""
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
        "BETTER_AUTH_SECRET": SECRET,
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-c", BUILD, *arguments],
        cwd=ROOT,
        env=bare_environment(settings),
        capture_output=True,
        text=True,
        check=True,
    )


def test_nothing_for_traces_or_metrics_is_imported_unless_configured() -> None:
    assert {"opentelemetry", "prometheus_client"}.isdisjoint(build().stdout.split())
    assert "opentelemetry" in build(**ENDPOINT).stdout.split()


def test_without_the_extra_it_serves_and_says_that_no_traces_are_sent() -> None:
    built = build("--without-otel", **ENDPOINT)
    assert "opentelemetry" not in built.stdout.split()
    assert "no traces are sent: todo-api[otel] is not installed" in built.stderr


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT, True),
        (TRACES_ENDPOINT, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_opentelemetrys_own_variables_decide(
    environment: Mapping[str, str],
    wanted: bool,  # noqa: FBT001
) -> None:
    assert wants_traces(environment) is wanted


def observe(traces: Tracing, status: int = 200) -> None:
    scope = {
        "method": "GET",
        "headers": [],
        "state": {"request_id": "f" * 32, "operation_id": "get_task"},
    }
    current_request.set(scope)
    traces(scope, status, 0.001)


@pytest.mark.anyio
async def test_the_last_spans_are_sent_before_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "another name")
        traces = Tracing("1.0.0", {"get_task": "/api/tasks/{task_id}"})
        async with traces.running():
            for status in (200, 404, 503):
                observe(traces, status)
    assert [span.status.code for span in collector.spans] == [0, 0, 2]
    assert collector.resources[0]["service.name"] == "another name"


@pytest.mark.anyio
async def test_a_collector_that_is_down_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setattr(tracing, "FLUSH_TIMEOUT", 0.1)
    traces = Tracing("1.0.0", {"get_task": "/api/tasks/{task_id}"})
    started = time.monotonic()
    async with traces.running():
        observe(traces)
    assert time.monotonic() - started < 5
