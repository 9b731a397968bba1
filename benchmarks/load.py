"""One load run: wrk sends requests for some seconds while processor time is measured."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.cpu import pinned
from benchmarks.install import wrk_path
from benchmarks.usage import Usage, cpu_seconds, memory_mib, resident_mib

SCRIPT = Path(__file__).with_name("load.lua")
IDLE_CHECK_SECONDS = 0.2
TIMEOUT_SECONDS = 30
CLOCK_TICK = 0.011  # seconds; the kernel reports processor time in hundredths


@dataclass(frozen=True, slots=True)
class Load:
    """The load that wrk generates, and the processors that it runs on."""

    requests: Path
    connections: int
    seconds: int
    cores: set[int]
    pause_ms: int = 0
    """How long a client waits before each request."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one load run."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    service_us: float
    """Processor time of the service per request, in all its processes."""
    busiest_us: float
    """Processor time of the busiest process of the service, per request to any of them."""
    database_us: float
    """Processor time of PostgreSQL per request."""
    others: float
    """The fraction of the machine's processor time used by other processes."""
    memory_mib: float
    """Memory of the service after the run, in all its processes."""
    worker_mib: float
    """Resident memory of its busiest process."""
    own_mib: float
    """What no other process shares of that."""

    @property
    def sum_us(self) -> float:
        """Return the processor time of service and PostgreSQL per request."""
        return self.service_us + self.database_us


def run_load(
    url: str, load: Load, service: psutil.Process, database: psutil.Process
) -> Measurement:
    """Run a load against the service at `url` and return the measurement.

    When wrk stops, each connection has one request in flight, or hardly any has if clients
    pause. These are drained and counted: otherwise processor time per request would be wrong
    for slow services.
    """
    before = Usage.now(service, database)
    with pinned(load.cores):
        output, wrk_seconds = run_wrk(url, load)
    wait_until_idle(service)
    used = Usage.now(service, database) - before
    service_seconds = sum(used.service.values())
    busiest = max(used.service, key=used.service.__getitem__)
    others = used.system - service_seconds - used.database - wrk_seconds
    handled = output["requests"] + (0 if load.pause_ms else load.connections)
    worker, own = resident_mib(busiest)
    return Measurement(
        requests_per_second=output["requests"] / output["microseconds"] * 1e6,
        p50_ms=output["p50"] / 1e3,
        p99_ms=output["p99"] / 1e3,
        errors=output["errors"],
        service_us=service_seconds / handled * 1e6,
        busiest_us=used.service[busiest] / handled * 1e6,
        database_us=used.database / handled * 1e6,
        others=max(0.0, others / (used.time * (psutil.cpu_count() or 1))),
        memory_mib=memory_mib(service),
        worker_mib=worker,
        own_mib=own,
    )


def run_wrk(url: str, load: Load) -> tuple[dict[str, int], float]:
    """Run wrk; return the report of load.lua and wrk's own processor seconds."""
    options = [
        "-t1",
        f"-c{load.connections}",
        f"-d{load.seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
    ]
    before = psutil.Process().cpu_times()
    arguments = [str(load.requests), str(load.pause_ms)]
    completed = subprocess.run(
        [wrk_path(), *options, f"--script={SCRIPT}", url, "--", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    after = psutil.Process().cpu_times()
    seconds = sum(after[2:4]) - sum(before[2:4])  # user and system time of exited children
    return json.loads(completed.stdout.splitlines()[-1]), seconds


def wait_until_idle(process: psutil.Process) -> None:
    """Wait until a process uses no processor time, for up to TIMEOUT_SECONDS."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        before = cpu_seconds(process)
        time.sleep(IDLE_CHECK_SECONDS)
        if cpu_seconds(process) - before < CLOCK_TICK:
            return
