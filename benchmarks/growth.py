"""Data growth: the cost of a request as users have more tasks and tables more rows."""

from collections.abc import Callable, Iterator

from benchmarks.dataset import USERS, task_id, user_with
from benchmarks.markdown import (
    environment_section,
    format_cost,
    format_number,
    table,
)
from benchmarks.results import Result, Results
from benchmarks.rounds import run_rounds
from benchmarks.scenarios import (
    CONNECTIONS,
    FEW_CONNECTIONS,
    SCENARIOS,
    RequestBuilder,
    Sampler,
    Scenario,
    build_request,
    list_of,
)
from benchmarks.services import THIS_SERVICE
from benchmarks.testbed import Testbed

USER_COUNTS = (USERS, 10 * USERS)
"""Numbers of regular users: about 100 thousand rows, and a million."""
SCENARIOS_BY_ROWS = tuple(
    scenario
    for scenario in SCENARIOS
    if scenario.key in {"get", "create", "update", "toggle", "list-100", "pending"}
)
TASK_COUNTS = (10, 100, 1_000, 10_000)
SLOW_LIST = 1_000
PAGE = "?status=pending&sort=title&limit=20"


def get_of(tasks: int) -> RequestBuilder:
    """Return a builder that gets a task of the user with this number of tasks."""

    def build(sampler: Sampler) -> bytes:
        name = user_with(tasks)
        path = f"/api/tasks/{task_id(name, sampler.randint(1, tasks))}"
        return build_request("GET", path, name)

    return build


OPERATIONS: dict[str, Callable[[int], RequestBuilder]] = {
    "get one": get_of,
    "first 20 by title": lambda tasks: list_of(tasks, PAGE),
    "whole list": list_of,
}


def scenarios_by_tasks() -> Iterator[Scenario]:
    """Yield a scenario for each operation and each number of tasks."""
    for operation, builder in OPERATIONS.items():
        for tasks in TASK_COUNTS:
            slow = operation == "whole list" and tasks >= SLOW_LIST
            yield Scenario(
                f"{operation} {tasks}",
                f"{operation} of {tasks:,}",
                builder(tasks),
                connections=FEW_CONNECTIONS if slow else CONNECTIONS,
            )


def measure_growth(testbed: Testbed, *, rounds: int, seconds: int) -> Results:
    """Measure growth by tasks of one user, then by rows of the table.

    The number of rows alternates each round, since the machine may slow down over time.
    """
    results = run_rounds(testbed, tuple(scenarios_by_tasks()), rounds=rounds, seconds=seconds)
    for number in range(rounds):
        for users in USER_COUNTS:
            print(f"Round {number + 1} with {users:,} users:", flush=True)
            testbed.load_data(users)
            partial = run_rounds(testbed, SCENARIOS_BY_ROWS, rounds=1, seconds=seconds)
            for (scenario, service), result in partial.items():
                key = f"{scenario} {users}", service
                earlier = results[key].measurements if key in results else ()
                results[key] = Result((*earlier, *result.measurements))
    return results


def growth_report(results: Results, environment: dict[str, str]) -> str:
    """Return the report as Markdown."""
    sections = [
        "# Data growth",
        "Processor time per request in µs: service + PostgreSQL.",
        "## Tasks of one user",
        table(("", *(f"{tasks:,}" for tasks in TASK_COUNTS)), rows_by_tasks(results)),
        "## Rows of the table",
        table(ROWS_HEADER, rows_by_table_size(results)),
        environment_section(results, environment),
    ]
    return "\n\n".join(sections)


def rows_by_tasks(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each operation, with a column for each number of tasks."""
    for operation in OPERATIONS:
        cells = (results[f"{operation} {tasks}", THIS_SERVICE.key] for tasks in TASK_COUNTS)
        yield operation, *(format_cost(result) for result in cells)


ROWS_HEADER = ("", "100 k rows", "1 M rows", "ratio", "p99, 100 k", "p99, 1 M", "errors")


def rows_by_table_size(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each scenario."""
    for scenario in SCENARIOS_BY_ROWS:
        small, large = (
            results[f"{scenario.key} {users}", THIS_SERVICE.key] for users in USER_COUNTS
        )
        ratio = f"{large.ratio_to(small, 'sum_us'):.2f}"
        p99 = (f"{format_number(result.median('p99_ms'))} ms" for result in (small, large))
        errors = f"{small.errors + large.errors:,}"
        yield scenario.title, format_cost(small), format_cost(large), ratio, *p99, errors
