"""Rounds: every service is driven once a round, in an order that changes."""

from collections.abc import Iterable, Iterator

from benchmarks.drive import Figures
from benchmarks.laboratory import Laboratory
from benchmarks.results import Row, Rows
from benchmarks.scenarios import Scenario
from benchmarks.stacks import Running

FLOOR_SCENARIO = "get"
"""The scenario that the constant answer is measured beside."""


def play(
    laboratory: Laboratory, scenarios: Iterable[Scenario], *, rounds: int, seconds: int
) -> Rows:
    """Drive every service through every scenario, several times; says how far it is."""
    found: dict[tuple[str, str], list[Figures]] = {
        (scenario.key, service.stack.key): []
        for scenario in scenarios
        for service in in_turn(laboratory.services, scenario, 0)
    }
    for number in range(rounds):
        for scenario in scenarios:
            for service in in_turn(laboratory.services, scenario, number):
                figures = laboratory.measure(service, scenario, seconds)
                found[scenario.key, service.stack.key].append(figures)
                print(progress(number, scenario, service, figures), flush=True)
    return {key: Row(tuple(figures)) for key, figures in found.items()}


def in_turn(services: list[Running], scenario: Scenario, number: int) -> Iterator[Running]:
    """Return who takes part, beginning with another one each round."""
    first = number % len(services)
    for service in services[first:] + services[:first]:
        if service.stack.answers or scenario.key == FLOOR_SCENARIO:
            yield service


def progress(number: int, scenario: Scenario, service: Running, figures: Figures) -> str:
    """Write one drive on a line."""
    return (
        f"{number + 1}  {scenario.title:<26}{service.stack.title:<26}"
        f"{figures.requests_per_second:>9,.0f}/s{figures.p99_ms:>9.1f} ms"
        f"{figures.service_us:>9,.0f} +{figures.database_us:>7,.0f} µs"
        f"{f'  {figures.errors} errors' if figures.errors else ''}"
    )
