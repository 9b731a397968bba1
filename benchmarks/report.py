"""The report: one Markdown document, ratios first, then every figure and its conditions."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from benchmarks.goals import TITLES, Measure, judged, ratio, times
from benchmarks.results import Row, Rows
from benchmarks.stacks import OURS, STACKS

STACK_TITLES = {stack.key: stack.title for stack in STACKS}
NO_PEERS = {stack.key for stack in STACKS if stack is OURS or not stack.answers}
BUSY = 0.05

INTRODUCTION = """\
How many times as much processor time a peer takes for the same answer, on the same
PostgreSQL. Above 1, this service is ahead; 10 means that it takes a tenth. Each is the
median of the ratios of all rounds."""

ADVANTAGES = """\
What the peers are spared: they connect as a role that row security does not bind, they
answer without `ETag`, `X-Total-Count`, `X-Request-Id` and CORS headers, and they do not
tell another user's task from one that does not exist. This service does all of that.

What they bear: in this service's tables PostgreSQL keeps the JSON of every task, for the
peers' writes, too, though they do not read it."""

METHOD = """\
Processor time is the kernel's account of all processes of the service, or of PostgreSQL,
divided by the requests handled. It depends on what else the machine does, too, but far
less than the rest: others that keep the memory busy can add a third to it. Requests per
second and latencies are those of as many clients as asked at once, each with its next
request as soon as it has an answer: p99 is a service at its limit. Every figure
is the median of the rounds, ± half the range. Checkpoints and autovacuum are held off,
and changed tables are replaced by a fresh copy before each drive."""


def report(rows: Rows, conditions: dict[str, str]) -> str:
    """Write the report."""
    parts = [
        "# Measured beside others",
        INTRODUCTION,
        "## The service alone",
        *ratios(rows, "service_us"),
        "## The service and PostgreSQL together",
        *ratios(rows, "sum_us"),
        "## Goals",
        table(("goal", "least favourable", "reached"), judged(rows)),
        "## Figures",
        table(FIGURES, figures(rows)),
        ADVANTAGES,
        "## Conditions",
        "\n".join(f"- {name}: {text}" for name, text in conditions.items()),
        warning(rows.values()),
        METHOD,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def ratios(rows: Rows, measure: Measure) -> Iterator[str]:
    """Write a table of ratios, scenario by peer."""
    peers = [key for key in dict.fromkeys(stack for _, stack in rows) if key not in NO_PEERS]
    yield table(
        ("", *(STACK_TITLES.get(peer, peer) for peer in peers)),
        (
            (TITLES[name], *(times(ratio(rows, name, peer, measure)) for peer in peers))
            for name in dict.fromkeys(scenario for scenario, _ in rows)
        ),
    )


FIGURES = (
    *("scenario", "", "requests/s", "p50 ms", "p99 ms", "errors"),
    *("service µs", "PostgreSQL µs", "sum µs"),
)


def figures(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Write a line for each service in each scenario."""
    for (scenario, stack), row in rows.items():
        yield (
            TITLES[scenario],
            STACK_TITLES.get(stack, stack),
            spread(row, "requests_per_second"),
            number(row.middle("p50_ms")),
            number(row.middle("p99_ms")),
            f"{row.errors:,}",
            spread(row, "service_us"),
            spread(row, "database_us"),
            number(row.middle("sum_us")),
        )


def warning(rows: Iterable[Row]) -> str:
    """Say how busy the machine was with other things."""
    shares = [one.others for row in rows for one in row.figures]
    busy = "**The machine was busy with something else.** " if median(shares) > BUSY else ""
    return (
        f"{busy}Other processes took {median(shares):.0%} of all processors in the median "
        f"drive, and {max(shares):.0%} in the worst."
    )


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; figures are on the right."""
    rule = ["---" if column < 1 or not title else "---:" for column, title in enumerate(head)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def spread(row: Row, name: str) -> str:
    """Write a median and how far the rounds are apart."""
    middle = number(row.middle(name))
    return f"{middle} ±{row.spread(name):.0%}" if len(row.figures) > 1 else middle


def number(value: float) -> str:
    """Write a figure, with three significant digits or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004
