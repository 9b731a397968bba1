"""What this service wants to reach, and whether it has: told, never enforced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.results import Row, Rows

ONE_TASK = ("get", "create", "update", "toggle")
LISTS = ("list-20", "list-100")


@dataclass(frozen=True, slots=True)
class Goal:
    """To be so many times as fast as a peer, in some scenarios (all, if none is named)."""

    text: str
    peer: str
    times: float
    measure: Callable[[Row], float]
    scenarios: tuple[str, ...] = ()


def service_us(row: Row) -> float:
    """Return the processor time of the service alone."""
    return row.middle("service_us")


def sum_us(row: Row) -> float:
    """Return the processor time of service and PostgreSQL together."""
    return row.sum_us


GOALS = (
    Goal("one task: 5 times FastAPI async", "async", 5, service_us, ONE_TASK),
    Goal("lists of 20 and 100: 3 times FastAPI async", "async", 3, service_us, LISTS),
    Goal("everything: half of Fastify", "fastify", 0.5, service_us),
    Goal("everything: ahead of Fastify", "fastify", 1, service_us),
    Goal("everything: ahead of Fastify, PostgreSQL included", "fastify", 1, sum_us),
    Goal("everything: ahead of Fastify with pipelining", "pipelining", 1, service_us),
    Goal("the same, PostgreSQL included", "pipelining", 1, sum_us),
)


def ratio(
    rows: Rows, scenario: str, peer: str, measure: Callable[[Row], float]
) -> float | None:
    """Tell how many times as much a peer takes as this service; None if not measured."""
    ours, theirs = rows.get((scenario, "service")), rows.get((scenario, peer))
    return measure(theirs) / measure(ours) if ours and theirs else None


def judged(rows: Rows) -> Iterator[tuple[Goal, dict[str, float]]]:
    """Return each goal, and by how much it is reached in each of its scenarios."""
    for goal in GOALS:
        scenarios = goal.scenarios or tuple(dict.fromkeys(scenario for scenario, _ in rows))
        ratios = {name: ratio(rows, name, goal.peer, goal.measure) for name in scenarios}
        found = {name: value for name, value in ratios.items() if value is not None}
        if found:
            yield goal, found
