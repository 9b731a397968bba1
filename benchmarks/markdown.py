"""Markdown that all reports have in common."""

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.results import Result, Results

BUSY = 0.05

METHOD = """\
Processor time is what the kernel accounts to all processes of the service, or of
PostgreSQL, divided by the number of requests handled. It depends on other load on the
machine far less than throughput and latency do; processes that saturate the memory bus can
still add a third. Throughput and latency are measured with closed-loop clients, each
sending its next request when it has received a response, so p99 is that of a saturated
service. Each figure is the median of all rounds, ± half the range. Checkpoints and
autovacuum are disabled, and modified tables are restored before each run."""


def environment_section(results: Results, environment: dict[str, str]) -> str:
    """Return the section about the environment, the load of other processes, and the method."""
    lines = "\n".join(f"- {name}: {text}" for name, text in environment.items())
    return f"## Environment\n\n{lines}\n\n{other_load(results)}\n\n{METHOD}\n"


def other_load(results: Results) -> str:
    """Describe the load of other processes, with a warning if it was high."""
    shares = [one.others for result in results.values() for one in result.measurements]
    busy = "**The machine was not idle.** " if median(shares) > BUSY else ""
    return (
        f"{busy}Other processes used {median(shares):.0%} of all\n"
        f"processor time in the median run and {max(shares):.0%} in the worst."
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; columns of figures are aligned to the right."""
    rule = ["---" if column < 1 or not title else "---:" for column, title in enumerate(header)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def format_cost(result: Result | None) -> str:
    """Format the processor time of the service and of PostgreSQL."""
    if result is None:
        return ""
    service, database = (result.median(name) for name in ("service_us", "database_us"))
    return f"{service:,.0f} + {database:,.0f}"


def format_number(value: float) -> str:
    """Format a figure: an integer from 100 on, else with one decimal."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004
