"""What this service wants to reach, and whether it has: told, never enforced."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Rows
from benchmarks.scenarios import CLIENTS, SCENARIOS
from benchmarks.stacks import OURS

ONE_TASK = ("get", "create", "update", "toggle")
LISTS = ("list-20", "list-100")
TITLES = {scenario.key: scenario.title for scenario in SCENARIOS}
CROWDED = {scenario.key for scenario in SCENARIOS if scenario.connections == CLIENTS}
MOST_MS = 200

Measure = Literal["service_us", "sum_us"]
"""Processor time: of the service alone, or of PostgreSQL, too."""


@dataclass(frozen=True, slots=True)
class Goal:
    """To be so many times as fast as a peer, in some scenarios (all, if none is named)."""

    text: str
    peer: str
    times: float
    measure: Measure
    scenarios: tuple[str, ...] = ()


GOALS = (
    Goal("one task: 5 times FastAPI async", "async", 5, "service_us", ONE_TASK),
    Goal("lists of 20 and 100: 3 times FastAPI async", "async", 3, "service_us", LISTS),
    Goal("everything: half of Fastify", "fastify", 0.5, "service_us"),
    Goal("everything: ahead of Fastify", "fastify", 1, "service_us"),
    Goal("everything: ahead of Fastify, PostgreSQL included", "fastify", 1, "sum_us"),
    Goal("everything: ahead of Fastify with pipelining", "pipelining", 1, "service_us"),
    Goal("the same, PostgreSQL included", "pipelining", 1, "sum_us"),
)


def judged(rows: Rows) -> Iterator[tuple[str, str, str]]:
    """Return for each goal its text, the least favourable figure, and where it is missed."""
    for goal in GOALS:
        found = {
            name: value
            for name in goal.scenarios or TITLES
            if (value := ratio(rows, name, goal.peer, goal.measure)) is not None
        }
        if found:
            worst = min(found, key=found.__getitem__)
            missed = [name for name, value in found.items() if value < goal.times]
            yield goal.text, f"{times(found[worst])} ({TITLES[worst]})", verdict(missed)
    ours = {name: row for (name, stack), row in rows.items() if stack == OURS.key}
    slow = {name: row.middle("p99_ms") for name, row in ours.items() if name in CROWDED}
    if slow:
        worst = max(slow, key=slow.__getitem__)
        missed = [name for name, value in slow.items() if value > MOST_MS]
        text = f"p99 of {CLIENTS} clients: {MOST_MS} ms"
        yield text, f"{slow[worst]:.0f} ms ({TITLES[worst]})", verdict(missed)
    failed = [name for name, row in ours.items() if row.errors]
    yield "no errors", str(sum(row.errors for row in ours.values())), verdict(failed)


def verdict(missed: list[str]) -> str:
    """Say whether a goal has been reached."""
    return f"not in {', '.join(TITLES[name] for name in missed)}" if missed else "yes"


def ratio(rows: Rows, scenario: str, peer: str, measure: Measure) -> float | None:
    """Tell how many times as much a peer takes as this service; None if not measured."""
    ours, theirs = rows.get((scenario, OURS.key)), rows.get((scenario, peer))
    return theirs.times(ours, measure) if ours and theirs else None


def times(value: float | None) -> str:
    """Write a ratio, with three significant digits."""
    return "" if value is None else f"{value:.3g}"
