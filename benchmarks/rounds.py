"""Rounds: each measures every service once per scenario, in rotating order."""

from collections.abc import Iterable, Iterator

from benchmarks.load import Measurement
from benchmarks.processes import RunningService
from benchmarks.results import Result, Results
from benchmarks.scenarios import Scenario
from benchmarks.services import Service
from benchmarks.testbed import Testbed

BASELINE_SCENARIO = "get"
"""The only scenario that the baseline takes part in."""


def run_rounds(
    testbed: Testbed, scenarios: Iterable[Scenario], *, rounds: int, seconds: int
) -> Results:
    """Measure every service in every scenario, once per round, and print the progress."""
    measurements: dict[tuple[str, str], list[Measurement]] = {
        (scenario.key, running.service.key): []
        for scenario in scenarios
        for running in rotate(testbed.services, scenario, 0)
    }
    for number in range(rounds):
        for scenario in scenarios:
            for running in rotate(testbed.services, scenario, number):
                measurement = testbed.measure(running, scenario, seconds)
                measurements[scenario.key, running.service.key].append(measurement)
                print(progress_line(number, scenario, running, measurement), flush=True)
    return {key: Result(tuple(values)) for key, values in measurements.items()}


def rotate(
    services: list[RunningService], scenario: Scenario, number: int
) -> Iterator[RunningService]:
    """Yield the services that take part in a scenario, starting with another each round."""
    first = number % len(services)
    for running in services[first:] + services[:first]:
        if takes_part(running.service, scenario):
            yield running


def takes_part(service: Service, scenario: Scenario) -> bool:
    """Return whether a service is measured in a scenario."""
    if scenario.polls:
        return service.entity_tags
    return service.implements_api or scenario.key == BASELINE_SCENARIO


def progress_line(
    number: int, scenario: Scenario, running: RunningService, measurement: Measurement
) -> str:
    """Format one measurement as a line."""
    return (
        f"{number + 1}  {scenario.title:<26}{running.service.title:<26}"
        f"{measurement.requests_per_second:>9,.0f}/s{measurement.p99_ms:>9.1f} ms"
        f"{measurement.service_us:>9,.0f} +{measurement.database_us:>7,.0f} µs"
        f"{f'  {measurement.errors} errors' if measurement.errors else ''}"
    )
