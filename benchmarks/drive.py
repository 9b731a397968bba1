"""One drive: wrk asks a service for some seconds, and processors are watched meanwhile."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.installation import wrk_path
from benchmarks.machine import on, seconds_of, seconds_of_all

SCRIPT = Path(__file__).with_name("drive.lua")
QUIET_SECONDS = 0.2
PATIENCE = 30  # seconds
TICK = 0.011  # seconds; the kernel tells processor time in hundredths


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk does, and where."""

    requests: Path
    connections: int
    seconds: int
    cores: set[int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one drive has shown."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    service_us: float
    """Processor time of the service for one request."""
    database_us: float
    """Processor time of PostgreSQL for one request."""
    others: float
    """The part of the machine's processors that was busy with something else."""

    @property
    def sum_us(self) -> float:
        """Return the processor time of service and PostgreSQL together for one request."""
        return self.service_us + self.database_us


def drive(url: str, load: Load, service: psutil.Process, database: psutil.Process) -> Figures:
    """Ask the service at `url`, and return the figures.

    When wrk stops, every connection has one request under way. Waiting until they are
    done, and counting them, makes processor time per request exact for slow services too.
    """
    before = seconds_of(service), seconds_of(database), seconds_of_all(), time.monotonic()
    with on(load.cores):
        said, wrk_seconds = wrk(url, load)
    wait_until_quiet(service)
    after = seconds_of(service), seconds_of(database), seconds_of_all(), time.monotonic()
    served, worked, busy, elapsed = (b - a for a, b in zip(before, after, strict=True))
    handled = said["requests"] + load.connections
    cores = psutil.cpu_count() or 1
    return Figures(
        requests_per_second=said["requests"] / said["microseconds"] * 1e6,
        p50_ms=said["p50"] / 1e3,
        p99_ms=said["p99"] / 1e3,
        errors=said["errors"],
        service_us=served / handled * 1e6,
        database_us=worked / handled * 1e6,
        others=max(0.0, (busy - served - worked - wrk_seconds) / (elapsed * cores)),
    )


def wrk(url: str, load: Load) -> tuple[dict[str, int], float]:
    """Run wrk; return what drive.lua reports, and the processor time it took."""
    options = ["-t1", f"-c{load.connections}", f"-d{load.seconds}s", f"--timeout={PATIENCE}s"]
    before = psutil.Process().cpu_times()
    done = subprocess.run(
        [wrk_path(), *options, f"--script={SCRIPT}", url, "--", str(load.requests)],
        capture_output=True,
        text=True,
        check=True,
    )
    after = psutil.Process().cpu_times()
    taken = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
    return json.loads(done.stdout.splitlines()[-1]), taken


def wait_until_quiet(process: psutil.Process) -> None:
    """Wait until a process has finished what it was doing, within reason."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = seconds_of(process)
        time.sleep(QUIET_SECONDS)
        if seconds_of(process) - before < TICK:
            return
