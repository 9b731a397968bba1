"""Performance goals of this service: reported, not enforced."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Results
from benchmarks.scenarios import CONNECTIONS, SCENARIOS
from benchmarks.services import THIS_SERVICE

SINGLE_TASK = ("get", "create", "update", "toggle")
LISTS = ("list-20", "list-100")
SCENARIO_TITLES = {scenario.key: scenario.title for scenario in SCENARIOS}
CONCURRENT = {scenario.key for scenario in SCENARIOS if scenario.connections == CONNECTIONS}
MAX_P99_MS = 200

Metric = Literal["service_us", "sum_us"]
"""Processor time per request: of the service alone, or together with PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A minimum ratio to a competitor's processor time, in some or by default all scenarios."""

    text: str
    competitor: str
    ratio: float
    metric: Metric
    scenarios: tuple[str, ...] = ()


GOALS = (
    Goal("single task: 5 times FastAPI async", "async", 5, "service_us", SINGLE_TASK),
    Goal("lists of 20 and 100: 3 times FastAPI async", "async", 3, "service_us", LISTS),
    Goal("all scenarios: half of Fastify", "fastify", 0.5, "service_us"),
    Goal("all scenarios: ahead of Fastify", "fastify", 1, "service_us"),
    Goal("all scenarios: ahead of Fastify, including PostgreSQL", "fastify", 1, "sum_us"),
    Goal("all scenarios: ahead of Fastify with pipelining", "pipelining", 1, "service_us"),
    Goal(
        "all scenarios: ahead of Fastify with pipelining, including PostgreSQL",
        "pipelining",
        1,
        "sum_us",
    ),
)


def evaluate_goals(results: Results) -> Iterator[tuple[str, str, str]]:
    """Yield each goal's text, its worst value, and whether it is met."""
    for goal in GOALS:
        ratios = {
            scenario: value
            for scenario in goal.scenarios or SCENARIO_TITLES
            if (value := cost_ratio(results, scenario, goal.competitor, goal.metric))
            is not None
        }
        if ratios:
            worst = min(ratios, key=ratios.__getitem__)
            missed = [scenario for scenario, value in ratios.items() if value < goal.ratio]
            worst_value = f"{format_ratio(ratios[worst])} ({SCENARIO_TITLES[worst]})"
            yield goal.text, worst_value, verdict(missed)
    ours = {
        scenario: result
        for (scenario, service), result in results.items()
        if service == THIS_SERVICE.key
    }
    p99 = {
        scenario: result.median("p99_ms")
        for scenario, result in ours.items()
        if scenario in CONCURRENT
    }
    if p99:
        worst = max(p99, key=p99.__getitem__)
        missed = [scenario for scenario, value in p99.items() if value > MAX_P99_MS]
        text = f"p99 at {CONNECTIONS} connections: {MAX_P99_MS} ms"
        yield text, f"{p99[worst]:.0f} ms ({SCENARIO_TITLES[worst]})", verdict(missed)
    failed = [scenario for scenario, result in ours.items() if result.errors]
    yield "no errors", str(sum(result.errors for result in ours.values())), verdict(failed)


def verdict(missed: list[str]) -> str:
    """Return "yes", or the scenarios in which a goal is missed."""
    if not missed:
        return "yes"
    return f"not in {', '.join(SCENARIO_TITLES[scenario] for scenario in missed)}"


def cost_ratio(
    results: Results, scenario: str, competitor: str, metric: Metric
) -> float | None:
    """Return a competitor's cost relative to this service's; None if not measured."""
    ours = results.get((scenario, THIS_SERVICE.key))
    theirs = results.get((scenario, competitor))
    return theirs.ratio_to(ours, metric) if ours and theirs else None


def format_ratio(value: float | None) -> str:
    """Format a ratio with three significant digits."""
    return "" if value is None else f"{value:.3g}"
