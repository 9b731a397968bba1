"""Several workers: how throughput and memory grow with the number of processes.

PostgreSQL and wrk take their share of the same cores, so throughput is taken from processor
time instead: the requests that all workers handle in a second of the busiest one. This is
what they would do with a core for each of them and PostgreSQL elsewhere.

Clients pause, so that no process waits for a core: where several compete for one, each
request takes longer, and two services that have nothing in common do no better than workers.
"""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.goals import Row, judge
from benchmarks.markdown import environment_section, format_number, table
from benchmarks.results import Result, Results
from benchmarks.rounds import run_rounds
from benchmarks.scenarios import SCENARIOS
from benchmarks.services import THIS_SERVICE, Service, with_workers
from benchmarks.testbed import Testbed

WORKER_SERVICES = (THIS_SERVICE, with_workers(2), with_workers(3))
CLIENTS = 50  # of each worker
PAUSE_MS = 100
MEASURED = [
    replace(scenario, connections=CLIENTS, pause_ms=PAUSE_MS)
    for scenario in SCENARIOS
    if scenario.key in {"get", "create", "toggle", "list-20", "list-100", "mix"}
]
MIN_SPEEDUP = 1.8  # of two workers
MAX_WORKER_MIB = 120
MAX_OWN_MIB = 60  # of the second worker and further ones

EXPLANATION = f"""\
Requests per second of processor time: as many as all workers handle while the busiest one
uses a second. PostgreSQL's time is left out, and with a core for each worker this is what
they can do. In brackets: relative to one worker, in the same round.

Each worker has {CLIENTS} clients, which pause for {PAUSE_MS} ms before each request, so that
no process waits for a core. A request takes more processor time than under a load that
saturates the service, which then reads and writes for several requests at once."""

MEMORY = """\
In MiB, the most after any run. A worker's own memory is what it shares with no other process
(USS); that of all processes counts shared pages once (PSS), and includes the parent of
several workers."""


def measure_workers(testbed: Testbed, *, rounds: int, seconds: int) -> Results:
    """Measure this service with each number of workers."""
    return run_rounds(testbed, MEASURED, rounds=rounds, seconds=seconds)


def workers_report(results: Results, environment: dict[str, str]) -> str:
    """Return the report as Markdown."""
    header = ("", *(f"{service.workers}" for service in WORKER_SERVICES))
    sections = [
        "# Workers",
        EXPLANATION,
        table(header, throughput_rows(results)),
        "## Memory",
        MEMORY,
        table(
            ("workers", "resident, a worker", "its own", "all processes"), memory_rows(results)
        ),
        "## Goals",
        table(("goal", "worst value", "met"), goals(results)),
        environment_section(results, environment),
    ]
    return "\n\n".join(sections)


def throughput_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each scenario."""
    for scenario in MEASURED:
        one, *others = (results[scenario.key, service.key] for service in WORKER_SERVICES)
        cells = (f"{throughput(more):,.0f} ({speedup(one, more):.2f})" for more in others)
        yield scenario.title, f"{throughput(one):,.0f}", *cells


def memory_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each number of workers."""
    for service in WORKER_SERVICES:
        values = (
            most(results, service, name) for name in ("worker_mib", "own_mib", "memory_mib")
        )
        yield str(service.workers), *map(format_number, values)


def goals(results: Results) -> Iterator[Row]:
    """Yield a row for each goal."""
    one, two, three = WORKER_SERVICES
    speedups = {
        scenario.title: speedup(results[scenario.key, one.key], results[scenario.key, two.key])
        for scenario in MEASURED
    }
    text = f"two workers handle at least {MIN_SPEEDUP} times what one does"
    yield from judge(text, speedups, at_least=MIN_SPEEDUP)
    resident = {"1 worker": most(results, one, "worker_mib")}
    yield from judge(
        f"a worker has at most {MAX_WORKER_MIB} MiB", resident, at_most=MAX_WORKER_MIB
    )
    own = {f"{s.workers} workers": most(results, s, "own_mib") for s in (two, three)}
    text = f"the second and further ones have at most {MAX_OWN_MIB} MiB of their own"
    yield from judge(text, own, at_most=MAX_OWN_MIB)


def throughput(result: Result) -> float:
    """Return the requests handled per second of processor time of the busiest worker."""
    return 1e6 / result.median("busiest_us")


def speedup(one: Result, more: Result) -> float:
    """Return the throughput of several workers relative to that of one."""
    return one.ratio_to(more, "busiest_us")


def most(results: Results, service: Service, metric: str) -> float:
    """Return the highest value of a metric in all runs of a service."""
    return max(
        max(result.values(metric)) for (_, key), result in results.items() if key == service.key
    )
