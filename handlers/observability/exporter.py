"""The /metrics endpoint: the figures of all processes, in Prometheus's text format.

It has a port of its own, served by a thread of the process that starts the workers (with one
worker, of the same process): the port of the API never shows it, and one scrape covers all.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import orjson
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from handlers.observability.metrics import Figures

GAUGES = {
    "todo_workers": ("process", "running", "Processes that serve requests."),
    "todo_connections": ("connections", "open", "Open connections of clients."),
    "todo_database_connections": ("pool", "size", "Open connections to PostgreSQL."),
    "todo_database_in_flight": ("pool", "in_flight", "Round trips that have not ended."),
    "todo_database_queue_length": ("pool", "queued", "Requests that wait to be sent."),
}
"""Sums over the running processes: the section and key of each figure, and its help text."""

COUNTERS = {
    "todo_connections_rejected": (
        "connections",
        "rejected",
        "Connections closed because too many were open.",
    ),
    "todo_connections_timed_out": (
        "connections",
        "timed_out",
        "Connections closed because the client was too slow.",
    ),
    "todo_database_queue_rejections": (
        "pool_totals",
        "rejected",
        "Requests rejected because the queue was full.",
    ),
    "todo_database_queue_timeouts": (
        "pool_totals",
        "expired",
        "Requests rejected because no connection was free in time.",
    ),
    "todo_token_cache_hits": ("token_cache", "hits", "Tokens found in the cache."),
    "todo_token_cache_misses": ("token_cache", "misses", "Tokens that had to be verified."),
    "todo_key_fetches": ("keys", "fetches", "Fetches of the published keys."),
    "todo_key_fetch_failures": ("keys", "failures", "Fetches that failed."),
}
"""Sums over all processes since the start, those that have ended included."""

SUMMARIES = {
    "todo_database_round_trip_seconds": (
        "pool_totals",
        "round_trips",
        "round_trip_time",
        "How long PostgreSQL took, from the end of the round trip before.",
    ),
    "todo_database_queue_wait_seconds": (
        "pool_totals",
        "queued",
        "queue_time",
        "How long requests waited to be sent, if they did.",
    ),
}
"""Likewise, each a number of events and their total duration."""


class SnapshotCollector(Collector):
    """Adds up what the processes have written to a directory."""

    def __init__(self, directory: Path) -> None:
        """Read the snapshots that `metrics.writing_snapshots` writes there."""
        self._directory = directory
        self._ended: Figures = {}
        self._lock = Lock()  # each scrape is served by a thread of its own

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        total: Figures = {}
        with self._lock:
            running, age = self._read()
            add(total, self._ended)
        add(total, running)
        yield from _metrics(running, total)
        yield GaugeMetricFamily(
            "todo_snapshot_age_seconds",
            "The age of the oldest figures of a worker; above 2, its event loop is blocked.",
            age,
        )

    def _read(self) -> tuple[Figures, float]:
        """Return the figures of the running processes, and the age of the oldest in seconds.

        Those of a process that has ended are kept, and its file is deleted.
        """
        running: Figures = {}
        age = 0.0
        for path in self._directory.glob("*.json"):
            if _is_running(int(path.stem)):
                age = max(age, time.time() - path.stat().st_mtime)
                add(running, orjson.loads(path.read_bytes()))
            else:
                add(self._ended, orjson.loads(path.read_bytes()))
                path.unlink()
        return running, age


@contextmanager
def serving_metrics(host: str, port: int) -> Iterator[Path]:
    """Serve /metrics until the context exits; yields the directory for the snapshots.

    Raises OSError if the address cannot be listened on.
    """
    with TemporaryDirectory(prefix="todo-api-metrics-") as directory:
        registry = CollectorRegistry()
        registry.register(SnapshotCollector(Path(directory)))
        server, thread = start_http_server(port, host, registry)
        try:
            yield Path(directory)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def add(total: Figures, figures: Figures) -> None:
    """Add figures to a total, in place."""
    for key, value in figures.items():
        if isinstance(value, dict):
            add(total.setdefault(key, {}), value)
        else:
            total[key] = total.get(key, 0) + value


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _metrics(running: Figures, total: Figures) -> Iterator[Metric]:
    """Yield the metrics for figures of the running processes, and for those of all."""
    for name, (section, key, documentation) in GAUGES.items():
        yield GaugeMetricFamily(name, documentation, running.get(section, {}).get(key, 0))
    for name, (section, key, documentation) in COUNTERS.items():
        yield CounterMetricFamily(name, documentation, total.get(section, {}).get(key, 0))
    for name, (section, count, seconds, documentation) in SUMMARIES.items():
        figures = total.get(section, {})
        yield SummaryMetricFamily(
            name, documentation, figures.get(count, 0), figures.get(seconds, 0)
        )
    build = InfoMetricFamily("todo_build", "The version of the service.")
    for version in running.get("versions", {}):
        build.add_metric((), {"version": version})
    yield build
    limited = CounterMetricFamily(
        "todo_rate_limited", "Requests beyond a limit, by which one.", labels=("limit",)
    )
    for limit, count in total.get("rate_limits", {}).items():
        limited.add_metric((limit,), count)
    yield limited
    rejected = CounterMetricFamily(
        "todo_requests_rejected",
        "Requests that the server rejected by itself, by problem type.",
        labels=("type",),
    )
    for slug, count in total.get("connections", {}).get("rejections", {}).items():
        rejected.add_metric((slug,), count)
    yield rejected
    requests = CounterMetricFamily(
        "todo_requests", "Requests, by operationId and status.", labels=("operation", "status")
    )
    for operation, statuses in total.get("requests", {}).items():
        for status, count in statuses.items():
            requests.add_metric((operation, status), count)
    yield requests
    yield _latencies(total.get("latencies", {}))


def _latencies(figures: Figures) -> Metric:
    family = HistogramMetricFamily(
        "todo_request_duration_seconds",
        "Time until the response begins, by operationId.",
        labels=("operation",),
    )
    for operation, latency in figures.items():
        *counts, seconds = latency.values()
        bounds = zip(latency, accumulate(counts), strict=False)
        family.add_metric((operation,), list(bounds), seconds)
    return family
