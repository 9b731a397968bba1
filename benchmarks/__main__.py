"""The command line; see `python -m benchmarks --help`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import environment
from benchmarks.chart import chart
from benchmarks.equivalence import ResponseMismatch, verify_responses
from benchmarks.growth import growth_report, measure_growth
from benchmarks.install import SetupError, install_wrk
from benchmarks.report import report
from benchmarks.results import Results, to_json
from benchmarks.rounds import run_rounds
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.services import COMPETITOR_SERVICES, ROOT, THIS_SERVICE, Service, candidate
from benchmarks.testbed import running_testbed
from benchmarks.workers import WORKER_SERVICES, measure_workers, workers_report

RESULTS = Path(__file__).with_name("results")
"""The published results; complete runs only."""
SCRATCH = ROOT / ".data" / "benchmarks"

DESCRIPTION = """\
Measure this service and its competitors on the same PostgreSQL server and write a report.
Installs what it needs. A complete run takes an hour on an otherwise idle machine; its
report goes to benchmarks/results, that of any other run to .data/benchmarks."""


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed command line."""

    services: list[Service]
    scenarios: list[Scenario]
    rounds: int
    seconds: int
    mode: str
    """What is measured and reported: `report`, `growth` or `workers`."""
    output: Path


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and write the report; return the exit status."""
    # Exit through all `finally` blocks, so that services and PostgreSQL are stopped.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    options = parse_options(arguments)
    try:
        install(options.services)
        run(options)
    except (SetupError, ResponseMismatch) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def install(services: Sequence[Service]) -> None:
    """Install wrk and what the chosen services need. Raises SetupError."""
    install_wrk()
    for step in dict.fromkeys(service.install for service in services):
        if step:
            step()


def run(options: Options) -> None:
    """Measure, print the report and write it to the output directory."""
    method = f"rounds: {options.rounds}, seconds per run: {options.seconds}"
    with running_testbed(options.services) as testbed:
        description = environment.describe(testbed, method)
        verify_responses(testbed, options.scenarios)
        print("All services give equivalent responses.", flush=True)
        measures: dict[str, Callable[..., Results]] = {
            "report": partial(run_rounds, scenarios=options.scenarios),
            "growth": measure_growth,
            "workers": measure_workers,
        }
        results = measures[options.mode](
            testbed, rounds=options.rounds, seconds=options.seconds
        )
    reports = {"report": report, "growth": growth_report, "workers": workers_report}
    text = reports[options.mode](results, description)
    options.output.mkdir(parents=True, exist_ok=True)
    options.output.joinpath(f"{options.mode}.json").write_text(to_json(results, description))
    options.output.joinpath(f"{options.mode}.md").write_text(text)
    if options.mode == "report":
        options.output.joinpath("chart.svg").write_text(chart(results))
    print(f"\n{text}\nWritten to {options.output}.")


def parse_options(arguments: Sequence[str]) -> Options:
    """Parse the command line."""
    given = parser().parse_args(arguments)
    services = [*WORKER_SERVICES] if given.mode == "workers" else [THIS_SERVICE]
    if given.candidate:
        services.append(candidate(given.candidate))
    if given.mode == "report":
        services += [
            service
            for service in COMPETITOR_SERVICES
            if given.competitors is None or service.key in given.competitors
        ]
    complete = not (given.only or given.competitors or given.quick or given.candidate)
    return Options(
        services=services,
        scenarios=[one for one in SCENARIOS if given.only is None or one.key in given.only],
        rounds=given.rounds or (1 if given.quick else 7),
        seconds=given.seconds or (1 if given.quick else 2),
        mode=given.mode,
        output=given.output or (RESULTS if complete else SCRATCH),
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=DESCRIPTION)
    scenarios = [scenario.key for scenario in SCENARIOS]
    competitors = ["none", *(service.key for service in COMPETITOR_SERVICES)]
    parser.add_argument("--quick", action="store_true", help="one round, 1 s per run")
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds (7)")
    parser.add_argument("--seconds", type=int, metavar="N", help="duration of each run (2)")
    parser.add_argument(
        "--only",
        type=comma_separated(scenarios),
        metavar="SCENARIOS",
        help=f"comma-separated: {', '.join(scenarios)}",
    )
    parser.add_argument(
        "--competitors",
        type=comma_separated(competitors),
        metavar="NAMES",
        help=f"comma-separated: {', '.join(competitors)}",
    )
    parser.add_argument(
        "--candidate",
        type=checkout_directory,
        metavar="DIR",
        help="another checkout of this service to compare with",
    )
    parser.add_argument(
        "--growth",
        dest="mode",
        action="store_const",
        const="growth",
        default="report",
        help="measure this service with more tasks per user and more rows instead",
    )
    parser.add_argument(
        "--workers",
        dest="mode",
        action="store_const",
        const="workers",
        help="measure this service with one, two and three workers instead",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the report")
    return parser


def comma_separated(names: list[str]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names, for argparse."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(names):
            message = f"unknown: {', '.join(sorted(unknown))}"
            raise argparse.ArgumentTypeError(message)
        return chosen

    return parse


def checkout_directory(text: str) -> Path:
    """Parse the path of a checkout, for argparse."""
    path = Path(text).resolve()
    if not path.joinpath("openapi", "openapi.yaml").is_file():
        message = f"{text} is not a checkout of this service"
        raise argparse.ArgumentTypeError(message)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
