"""Growth: what a request costs when a user has more tasks, and the table more rows."""

from collections.abc import Callable, Iterator

from benchmarks.dataset import CROWD, single, task_id
from benchmarks.laboratory import Laboratory
from benchmarks.report import METHOD, number, table, warning
from benchmarks.results import Row, Rows
from benchmarks.rounds import play
from benchmarks.scenarios import (
    CLIENTS,
    FEW,
    SCENARIOS,
    Ask,
    Chance,
    Scenario,
    list_of,
    request,
)
from benchmarks.stacks import OURS

CROWDS = (CROWD, 10 * CROWD)
"""With ten times as many users, the table has ten times as many rows."""
BY_CROWD = tuple(
    scenario
    for scenario in SCENARIOS
    if scenario.key in {"get", "create", "update", "toggle", "list-100", "pending"}
)
TASKS = (10, 100, 1_000, 10_000)
MANY_TASKS = 1_000
PAGE = "?status=pending&sort=title&limit=20"


def get_of(tasks: int) -> Ask:
    """Read a task of the user who has so many."""

    def ask(chance: Chance) -> bytes:
        name = single(tasks)
        return request("GET", f"/api/tasks/{task_id(name, chance.randint(1, tasks))}", name)

    return ask


KINDS: dict[str, Callable[[int], Ask]] = {
    "get one": get_of,
    "first 20 by title": lambda tasks: list_of(tasks, PAGE),
    "whole list": list_of,
}


def by_tasks() -> Iterator[Scenario]:
    """Return a scenario for each kind of request, and for each number of tasks."""
    for kind, ask in KINDS.items():
        for tasks in TASKS:
            clients = FEW if kind == "whole list" and tasks >= MANY_TASKS else CLIENTS
            key = f"{kind} {tasks}"
            yield Scenario(key, f"{kind} of {tasks:,}", ask(tasks), connections=clients)


def measure(laboratory: Laboratory, *, rounds: int, seconds: int) -> Rows:
    """Measure both kinds of growth.

    The crowd grows and shrinks each round, since the machine may be slower after a while.
    """
    found = play(laboratory, tuple(by_tasks()), rounds=rounds, seconds=seconds)
    for turn in range(rounds):
        for crowd in CROWDS:
            print(f"With {crowd:,} users, round {turn + 1}:", flush=True)
            laboratory.fill(crowd)
            for (key, stack), row in play(
                laboratory, BY_CROWD, rounds=1, seconds=seconds
            ).items():
                name = f"{key} {crowd}", stack
                earlier = found[name].figures if name in found else ()
                found[name] = Row((*earlier, *row.figures))
    return found


def report(rows: Rows, conditions: dict[str, str]) -> str:
    """Write the report."""
    parts = [
        "# Measured while it grows",
        "Processor time for one request, of the service + of PostgreSQL, in µs.",
        "## Tasks of one user",
        table(("", *(f"{tasks:,}" for tasks in TASKS)), tasks_table(rows)),
        "## Rows of the table",
        table(CROWD_HEAD, crowd_table(rows)),
        "## Conditions",
        "\n".join(f"- {name}: {text}" for name, text in conditions.items()),
        warning(rows.values()),
        METHOD,
    ]
    return "\n\n".join(parts) + "\n"


def tasks_table(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Write a line for each kind of request."""
    for kind in KINDS:
        yield kind, *(both(rows[f"{kind} {tasks}", OURS.key]) for tasks in TASKS)


CROWD_HEAD = ("", "100 k rows", "1 M rows", "ratio", "p99, 100 k", "p99, 1 M", "errors")


def crowd_table(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Write a line for each scenario."""
    for scenario in BY_CROWD:
        few, many = (rows[f"{scenario.key} {crowd}", OURS.key] for crowd in CROWDS)
        times = f"{many.times(few, 'sum_us'):.2f}"
        p99 = (f"{number(row.middle('p99_ms'))} ms" for row in (few, many))
        errors = f"{few.errors + many.errors:,}"
        yield scenario.title, both(few), both(many), times, *p99, errors


def both(row: Row) -> str:
    """Write the time of the service, and that of PostgreSQL."""
    return f"{number(row.middle('service_us'))} + {number(row.middle('database_us'))}"
