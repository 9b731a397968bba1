"""Comparing services: their results in each scenario, and ratios between them."""

from collections.abc import Iterator
from typing import Literal

from benchmarks.results import Result, Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.services import COMPETITOR_SERVICES, THIS_SERVICE

SERVICE_TITLES = {
    service.key: service.title for service in (THIS_SERVICE, *COMPETITOR_SERVICES)
}
SCENARIO_TITLES = {scenario.key: scenario.title for scenario in SCENARIOS}
FULL_RESPONSES = {scenario.key: scenario.polls for scenario in SCENARIOS if scenario.polls}
"""For each poll, the scenario of the same list without `If-None-Match`."""

Metric = Literal["service_us", "sum_us"]
"""Processor time per request: of the service alone, or together with PostgreSQL."""
METRIC_TITLES: dict[Metric, str] = {
    "service_us": "service only",
    "sum_us": "service and PostgreSQL",
}


def result_of(results: Results, scenario: str, service: str) -> Result | None:
    """Return the result of a service in a scenario; None if not measured.

    A service without entity tags responds to a poll in full, so what it costs is the list.
    """
    full = FULL_RESPONSES.get(scenario, scenario)
    return results.get((scenario, service)) or results.get((full, service))


def by_scenario(results: Results) -> Iterator[tuple[str, dict[str, Result]]]:
    """Yield the title of each scenario, and the result of each service, by its title."""
    services = dict.fromkeys(service for _, service in results)
    for scenario in dict.fromkeys(scenario for scenario, _ in results):
        found = {service: result_of(results, scenario, service) for service in services}
        yield (
            SCENARIO_TITLES[scenario],
            {service: result for service, result in found.items() if result},
        )


def service_title(key: str) -> str:
    """Return a service's title; the candidate's is its key."""
    return SERVICE_TITLES.get(key, key)


def cost_ratio(
    results: Results, scenario: str, competitor: str, metric: Metric
) -> float | None:
    """Return a competitor's cost relative to this service's; None if not measured."""
    ours = result_of(results, scenario, THIS_SERVICE.key)
    theirs = result_of(results, scenario, competitor)
    return theirs.ratio_to(ours, metric) if ours and theirs else None


def polling_ratio(results: Results, scenario: str) -> float | None:
    """Return what the full response to a poll costs this service, relative to a 304."""
    unchanged = results.get((scenario, THIS_SERVICE.key))
    full = results.get((FULL_RESPONSES.get(scenario, ""), THIS_SERVICE.key))
    return full.ratio_to(unchanged, "sum_us") if full and unchanged else None
