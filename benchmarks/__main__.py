"""The command; see `python -m benchmarks --help`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import agreement, growth, report, rounds
from benchmarks.chart import chart
from benchmarks.conditions import conditions, peak_memory
from benchmarks.installation import NotInstalled, install
from benchmarks.laboratory import laboratory
from benchmarks.results import as_json
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.stacks import OURS, ROOT, STACKS, Stack, service

RESULTS = Path(__file__).with_name("results")
"""What the README shows: whole runs only."""
SCRATCH = ROOT / ".data" / "benchmarks"

DESCRIPTION = """\
Measure this service beside others that do the same, on the same PostgreSQL, and write a
report. Installs what it needs. A whole run takes half an hour and wants a machine
of its own; its report goes to benchmarks/results, that of any other to .data/benchmarks."""


@dataclass(frozen=True, slots=True)
class Options:
    """What has been asked for."""

    stacks: list[Stack]
    scenarios: list[Scenario]
    rounds: int
    seconds: int
    growth: bool
    output: Path


def main(arguments: Sequence[str]) -> int:
    """Measure, and write the report; returns the exit status."""
    # Ends the process in good order, through every `finally` on the way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    options = read(arguments)
    try:
        install()
        run(options)
    except (NotInstalled, agreement.Disagreement) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: Options) -> None:
    """Measure what has been asked for."""
    method = f"rounds: {options.rounds}, seconds of each drive: {options.seconds}"
    with laboratory(options.stacks) as place:
        described = conditions(place.dataset, method)
        agreement.check(place, options.scenarios)
        print("All services answer alike.", flush=True)
        if options.growth:
            found = growth.measure(place, rounds=options.rounds, seconds=options.seconds)
        else:
            found = rounds.play(
                place, options.scenarios, rounds=options.rounds, seconds=options.seconds
            )
        described["peak memory"] = peak_memory(place.services)
    name, write = ("growth", growth.report) if options.growth else ("report", report.report)
    text = write(found, described)
    options.output.mkdir(parents=True, exist_ok=True)
    options.output.joinpath(f"{name}.json").write_text(as_json(found, described))
    options.output.joinpath(f"{name}.md").write_text(text)
    if not options.growth:
        options.output.joinpath("chart.svg").write_text(chart(found))
    print(f"\n{text}\nWritten to {options.output}.")


def read(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    given = parser().parse_args(arguments)
    others = tuple(stack for stack in STACKS if stack is not OURS)
    peers = [stack for stack in others if given.peers is None or stack.key in given.peers]
    if given.growth:
        peers = []
    if given.rival:
        peers.append(service("rival", f"rival ({given.rival.name})", given.rival.resolve()))
    whole = given.only is None and given.peers is None and not given.quick and not given.rival
    return Options(
        stacks=[OURS, *peers],
        scenarios=[one for one in SCENARIOS if given.only is None or one.key in given.only],
        rounds=given.rounds or (1 if given.quick else 7),
        seconds=given.seconds or (1 if given.quick else 2),
        growth=given.growth,
        output=given.output or (RESULTS if whole else SCRATCH),
    )


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=DESCRIPTION)
    scenarios = [scenario.key for scenario in SCENARIOS]
    peers = ["none", *(stack.key for stack in STACKS if stack is not OURS)]
    parser.add_argument("--quick", action="store_true", help="one round of a second each")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (7)")
    parser.add_argument("--seconds", type=int, metavar="N", help="seconds of each drive (2)")
    parser.add_argument(
        "--only", type=some_of(scenarios), help=f"some of {','.join(scenarios)}"
    )
    parser.add_argument("--peers", type=some_of(peers), help=f"some of {','.join(peers)}")
    parser.add_argument(
        "--rival", type=Path, metavar="DIR", help="another checkout of this service beside it"
    )
    parser.add_argument(
        "--growth", action="store_true", help="measure how this service bears growth instead"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the report goes")
    return parser


def some_of(names: list[str]) -> Callable[[str], list[str]]:
    """Return a reader of names separated by commas."""

    def read_names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(names):
            raise argparse.ArgumentTypeError(", ".join(sorted(unknown)) + " is unknown")
        return chosen

    return read_names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
