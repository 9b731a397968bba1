"""One load run: wrk sends requests for some seconds while processor time is measured."""

import json
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from benchmarks.cpu import pinned
from benchmarks.install import wrk_path
from benchmarks.processes import Instance
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
    instances: Sequence[Instance], load: Load, database: psutil.Process
) -> Measurement:
    """Run a load against a service and return the measurement.

    Each instance gets an equal share of the connections. When wrk stops, each connection has
    one request in flight. These are drained and counted: otherwise processor time per request
    would be wrong for slow services.
    """
    service = [instance.process for instance in instances]
    share = replace(load, connections=load.connections // len(instances))
    before = Usage.now(service, database)
    with pinned(load.cores):
        outputs, wrk_seconds = run_wrk([instance.url for instance in instances], share)
    for process in service:
        wait_until_idle(process)
    used = Usage.now(service, database) - before
    requests = sum(output["requests"] for output in outputs)
    service_seconds = sum(used.service.values())
    busiest = max(used.service, key=used.service.__getitem__)
    others = used.system - service_seconds - used.database - wrk_seconds
    handled = requests + share.connections * len(instances)
    worker, own = resident_mib(busiest)
    return Measurement(
        requests_per_second=requests / max(o["microseconds"] for o in outputs) * 1e6,
        p50_ms=max(output["p50"] for output in outputs) / 1e3,
        p99_ms=max(output["p99"] for output in outputs) / 1e3,
        errors=sum(output["errors"] for output in outputs),
        service_us=service_seconds / handled * 1e6,
        busiest_us=used.service[busiest] / handled * 1e6,
        database_us=used.database / handled * 1e6,
        others=max(0.0, others / (used.time * (psutil.cpu_count() or 1))),
        memory_mib=sum(map(memory_mib, service)),
        worker_mib=worker,
        own_mib=own,
    )


def run_wrk(urls: Sequence[str], load: Load) -> tuple[list[dict[str, int]], float]:
    """Run wrk against each URL at once; return what load.lua reports, and the processor time.

    That is in seconds, and wrk's own.
    """
    options = [
        f"--script={SCRIPT}",
        "-t1",
        f"-c{load.connections}",
        f"-d{load.seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
    ]
    before = psutil.Process().cpu_times()
    commands = [
        [wrk_path(), *options, url, "--", str(load.requests), f"{number / len(urls)}"]
        for number, url in enumerate(urls)
    ]
    with ThreadPoolExecutor(len(commands)) as pool:
        run = partial(subprocess.run, capture_output=True, text=True, check=True)
        outputs = [each.stdout.splitlines()[-1] for each in pool.map(run, commands)]
    after = psutil.Process().cpu_times()
    seconds = sum(after[2:4]) - sum(before[2:4])  # user and system time of exited children
    return [json.loads(output) for output in outputs], seconds


def wait_until_idle(process: psutil.Process) -> None:
    """Wait until a process uses no processor time, for up to TIMEOUT_SECONDS."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        before = cpu_seconds(process)
        time.sleep(IDLE_CHECK_SECONDS)
        if cpu_seconds(process) - before < CLOCK_TICK:
            return
