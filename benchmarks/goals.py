"""Performance goals of this service: reported, not enforced."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from benchmarks.comparison import (
    FULL_RESPONSES,
    METRIC_TITLES,
    SCENARIO_TITLES,
    SERVICE_TITLES,
    Metric,
    cost_ratio,
    polling_ratio,
)
from benchmarks.results import Results
from benchmarks.scenarios import CONNECTIONS, SCENARIOS
from benchmarks.services import THIS_SERVICE

CONCURRENT = [scenario.title for scenario in SCENARIOS if scenario.connections == CONNECTIONS]
MIN_POLLING_RATIO = 5
MAX_P99_MS = 50

Row = tuple[str, str, str]
"""A goal's text, its worst value, and whether it is met."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A minimum ratio of a competitor's processor time to this service's, in every scenario."""

    competitor: str
    ratio: float
    metric: Metric

    def __str__(self) -> str:
        """Return the goal as a sentence."""
        title, part = SERVICE_TITLES[self.competitor], METRIC_TITLES[self.metric]
        return f"{title} takes at least {self.ratio:.3g} times as much ({part})"


GOALS = (
    Goal("fastify", 1.1, "service_us"),
    Goal("fastify", 1, "sum_us"),
    Goal("pipelining", 1, "service_us"),
    Goal("pipelining", 1, "sum_us"),
    Goal("sqlmodel", 2, "service_us"),
    Goal("async", 2, "service_us"),
    Goal("litestar", 2, "service_us"),
    Goal("blacksheep", 2, "service_us"),
    Goal("libpq", 1 / 1.5, "service_us"),
)


def evaluate_goals(results: Results) -> Iterator[Row]:
    """Yield a row for each goal that was measured."""
    for goal in GOALS:
        ratios = {
            title: cost_ratio(results, scenario, goal.competitor, goal.metric)
            for scenario, title in SCENARIO_TITLES.items()
        }
        yield from judge(str(goal), ratios, at_least=goal.ratio)
    polls = {SCENARIO_TITLES[poll]: polling_ratio(results, poll) for poll in FULL_RESPONSES}
    text = f"a list takes at least {MIN_POLLING_RATIO} times as much as a poll of it"
    yield from judge(text, polls, at_least=MIN_POLLING_RATIO)
    ours = {
        SCENARIO_TITLES[scenario]: result
        for (scenario, service), result in results.items()
        if service == THIS_SERVICE.key
    }
    p99 = {title: ours[title].median("p99_ms") for title in CONCURRENT if title in ours}
    text = f"p99 of {CONNECTIONS} clients is at most {MAX_P99_MS} ms"
    yield from judge(text, p99, at_most=MAX_P99_MS)
    errors = {title: result.errors for title, result in ours.items()}
    yield from judge("no errors", errors, at_most=0)


def judge(
    text: str,
    values: Mapping[str, float | None],
    *,
    at_least: float = -inf,
    at_most: float = inf,
) -> Iterator[Row]:
    """Yield the row of a goal with these values by title, unless there are none."""
    measured = {title: value for title, value in values.items() if value is not None}
    if not measured:
        return
    select = max if at_most < inf else min
    worst = select(measured, key=measured.__getitem__)
    missed = [t for t, value in measured.items() if not at_least <= value <= at_most]
    verdict = f"not in {', '.join(missed)}" if missed else "yes"
    yield text, f"{measured[worst]:.3g} ({worst})", verdict
