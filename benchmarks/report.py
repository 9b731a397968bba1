"""The report in Markdown: processor time and ratios first, then goals, figures, environment."""

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.comparison import (
    SCENARIO_TITLES,
    Metric,
    by_scenario,
    cost_ratio,
    service_title,
)
from benchmarks.goals import evaluate_goals
from benchmarks.markdown import (
    environment_section,
    format_cost,
    format_number,
    table,
)
from benchmarks.results import Result, Results
from benchmarks.services import CANDIDATE, COMPETITOR_SERVICES, THIS_SERVICE

COMPARED = [service.key for service in COMPETITOR_SERVICES if service.implements_api]

COSTS = """\
Processor time per request in µs: service + PostgreSQL. Each figure is the median of all
rounds."""

INTRODUCTION = """\
Processor time per request of each competitor, relative to this service, on the same
PostgreSQL server. Above 1, this service uses less; 10 means a tenth. Each value is the
median of the ratios of all rounds."""

CANDIDATE_INTRODUCTION = """\
Processor time per request of the candidate, relative to this checkout. Above 1, the
candidate uses more. Each value is the median of the ratios of all rounds, followed by their
range."""

DIFFERENCES = """\
All of this is in favour of the competitors. Their table has one index beside its primary
key; this service's tables have row-level security, an index for every order, each task as
JSON, and a revision of each user that every write raises. They send no `ETag`,
`X-Total-Count`, `X-Request-Id` or CORS headers, and they do not distinguish another user's
task from one that does not exist. Since they have no entity tags, they respond to a poll in
full: for a poll, the tables show what the list costs them.

The last competitor is a limit, the least that Python can do: ASGI and libpq without any
framework or validation; PostgreSQL makes its JSON."""


def report(results: Results, environment: dict[str, str]) -> str:
    """Return the report as Markdown."""
    services = {service for _, service in results}
    competitors = [service for service in COMPARED if service in services]
    sections = ["# Benchmark results"]
    if competitors:
        sections += [
            "## Processor time",
            COSTS,
            cost_table(results, [THIS_SERVICE.key, *competitors]),
            "## Relative to this service",
            INTRODUCTION,
            "### Service only",
            ratio_table(results, competitors, "service_us"),
            "### Service and PostgreSQL",
            ratio_table(results, competitors, "sum_us"),
        ]
    if CANDIDATE in services:
        sections += ["## Candidate", CANDIDATE_INTRODUCTION, candidate_table(results)]
    sections += [
        "## Goals",
        table(("goal", "worst value", "met"), evaluate_goals(results)),
        "## Figures",
        table(FIGURE_COLUMNS, figure_rows(results)),
        *([DIFFERENCES] if competitors else ()),
        environment_section(results, environment | {"memory": memory(results)}),
    ]
    return "\n\n".join(sections)


def cost_table(results: Results, services: Sequence[str]) -> str:
    """Return a table of processor times, scenarios by services."""
    rows = (
        (title, *(format_cost(bars.get(service)) for service in services))
        for title, bars in by_scenario(results)
    )
    return table(("", *map(service_title, services)), rows)


def ratio_table(results: Results, competitors: Sequence[str], metric: Metric) -> str:
    """Return a table of cost ratios, scenarios by competitors."""
    rows = (
        (
            SCENARIO_TITLES[scenario],
            *(
                format_ratio(cost_ratio(results, scenario, competitor, metric))
                for competitor in competitors
            ),
        )
        for scenario in dict.fromkeys(scenario for scenario, _ in results)
    )
    return table(("", *map(service_title, competitors)), rows)


def candidate_table(results: Results) -> str:
    """Return a table of the candidate's cost ratios, with their range over the rounds."""
    metrics = {
        "service": "service_us",
        "PostgreSQL": "database_us",
        "service and PostgreSQL": "sum_us",
    }
    rows = []
    for (scenario, service), result in results.items():
        if service == CANDIDATE:
            ours = results[scenario, THIS_SERVICE.key]
            ratios = (result.ratios_to(ours, metric) for metric in metrics.values())
            rows.append((SCENARIO_TITLES[scenario], *map(with_range, ratios)))
    return table(("", *metrics), rows)


def with_range(values: list[float]) -> str:
    """Format the median of ratios, and their range."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


FIGURE_COLUMNS = (
    *("scenario", "", "requests/s", "p50 ms", "p99 ms", "errors"),
    *("service µs", "PostgreSQL µs", "sum µs"),
)


def figure_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each service in each scenario."""
    for (scenario, service), result in results.items():
        yield (
            SCENARIO_TITLES[scenario],
            service_title(service),
            with_spread(result, "requests_per_second"),
            format_number(result.median("p50_ms")),
            format_number(result.median("p99_ms")),
            f"{result.errors:,}",
            with_spread(result, "service_us"),
            with_spread(result, "database_us"),
            format_number(result.median("sum_us")),
        )


def memory(results: Results) -> str:
    """Describe the memory of each service: the most after any run, in all its processes."""
    most: dict[str, float] = {}
    for (_, service), result in results.items():
        most[service] = max(most.get(service, 0.0), *result.values("memory_mib"))
    return "; ".join(f"{service_title(key)} {value:.0f} MiB" for key, value in most.items())


def format_ratio(value: float | None) -> str:
    """Format a ratio with three significant digits."""
    return "" if value is None else f"{value:.3g}"


def with_spread(result: Result, metric: str) -> str:
    """Format a median, with the spread over the rounds if there are several."""
    middle = format_number(result.median(metric))
    return f"{middle} ±{result.spread(metric):.0%}" if len(result.measurements) > 1 else middle
