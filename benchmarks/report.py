"""The report in Markdown: ratios first, then goals, figures and environment."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from benchmarks.goals import (
    SCENARIO_TITLES,
    Metric,
    cost_ratio,
    evaluate_goals,
    format_ratio,
)
from benchmarks.results import Result, Results
from benchmarks.services import CANDIDATE, COMPETITOR_SERVICES, THIS_SERVICE

SERVICE_TITLES = {
    service.key: service.title for service in (THIS_SERVICE, *COMPETITOR_SERVICES)
}
COMPARED = [service.key for service in COMPETITOR_SERVICES if service.implements_api]
BUSY = 0.05

INTRODUCTION = """\
Processor time per request of each competitor, relative to this service, on the same
PostgreSQL server. Above 1, this service uses less; 10 means a tenth. Each value is the
median of the ratios of all rounds."""

CANDIDATE_INTRODUCTION = """\
Processor time per request of the candidate, relative to this checkout. Above 1, the
candidate uses more. Each value is the median of the ratios of all rounds, followed by their
range."""

DIFFERENCES = """\
In favour of the competitors: they connect as a role that row-level security does not
apply to, they send no `ETag`, `X-Total-Count`, `X-Request-Id` or CORS headers, and they do
not distinguish another user's task from one that does not exist. This service does all of
that.

Against the competitors: this service's schema stores the JSON of each task in a generated
column, which PostgreSQL maintains on their writes as well, although they do not read it."""

METHOD = """\
Processor time is what the kernel accounts to all processes of the service, or of
PostgreSQL, divided by the number of requests handled. It depends on other load on the
machine far less than throughput and latency do; processes that saturate the memory bus can
still add a third. Throughput and latency are measured with closed-loop clients, each
sending its next request when it has received a response, so p99 is that of a saturated
service. Each figure is the median of all rounds, ± half the range. Checkpoints and
autovacuum are disabled, and modified tables are restored before each run."""


def report(results: Results, environment: dict[str, str]) -> str:
    """Return the report as Markdown."""
    services = {service for _, service in results}
    competitors = [service for service in COMPARED if service in services]
    sections = ["# Benchmark results"]
    if competitors:
        sections += [
            INTRODUCTION,
            "## Service only",
            ratio_table(results, competitors, "service_us"),
            "## Service and PostgreSQL",
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
        "## Environment",
        environment_list(environment),
        other_load(results.values()),
        METHOD,
    ]
    return "\n\n".join(sections) + "\n"


def ratio_table(results: Results, competitors: Sequence[str], metric: Metric) -> str:
    """Return a table of cost ratios, scenarios by competitors."""
    header = ("", *(service_title(competitor) for competitor in competitors))
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
    return table(header, rows)


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


def environment_list(environment: dict[str, str]) -> str:
    """Return the description of the environment as a list."""
    return "\n".join(f"- {name}: {text}" for name, text in environment.items())


def other_load(results: Iterable[Result]) -> str:
    """Describe the load of other processes, with a warning if it was high."""
    shares = [one.others for result in results for one in result.measurements]
    busy = "**The machine was not idle.** " if median(shares) > BUSY else ""
    return (
        f"{busy}Other processes used {median(shares):.0%} of all\n"
        f"processor time in the median run and {max(shares):.0%} in the worst."
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; columns of figures are aligned to the right."""
    rule = ["---" if column < 1 or not title else "---:" for column, title in enumerate(header)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def service_title(key: str) -> str:
    """Return a service's title; the candidate's is its key."""
    return SERVICE_TITLES.get(key, key)


def with_spread(result: Result, metric: str) -> str:
    """Format a median, with the spread over the rounds if there are several."""
    middle = format_number(result.median(metric))
    return f"{middle} ±{result.spread(metric):.0%}" if len(result.measurements) > 1 else middle


def format_number(value: float) -> str:
    """Format a figure: an integer from 100 on, else with one decimal."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004
