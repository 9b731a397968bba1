"""The chart: processor time per request as an SVG, with one panel for each scenario.

Colours follow the viewer's colour scheme and the background is transparent, so the chart
works on light and dark pages.
"""

from collections.abc import Iterator
from html import escape

from benchmarks.comparison import by_scenario, service_title
from benchmarks.results import Result, Results
from benchmarks.services import THIS_SERVICE

COLUMNS = 3
PANEL_WIDTH, LABEL_WIDTH, BAR_WIDTH = 375, 156, 96  # pixels
LEGEND_HEIGHT, TITLE_HEIGHT, ROW_HEIGHT, PANEL_GAP = 40, 26, 19, 18
MILLISECOND = 1_000  # microseconds

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
text.title { font-weight: 600; font-size: 13px; fill: #1f2328 }
text.highlight { font-weight: 600; fill: #0969da }
rect { fill: #8c959f }
rect.highlight { fill: #0969da }
rect.database { opacity: .4 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  text.title { fill: #f0f6fc }
  text.highlight { fill: #4493f8 }
  rect.highlight { fill: #4493f8 }
}"""


def chart(results: Results) -> str:
    """Return the chart as SVG."""
    scenarios = list(by_scenario(results))
    shapes, y = list(legend()), LEGEND_HEIGHT
    for start in range(0, len(scenarios), COLUMNS):
        row = scenarios[start : start + COLUMNS]
        for column, (title, bars) in enumerate(row):
            shapes.append(f'<g transform="translate({column * PANEL_WIDTH} {y})">')
            shapes += [text(0, 13, title, "title"), *panel(bars), "</g>"]
        y += TITLE_HEIGHT + ROW_HEIGHT * max(len(bars) for _, bars in row) + PANEL_GAP
    size = f'width="{PANEL_WIDTH * COLUMNS}" height="{y}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            "<title>Processor time per request of this service and its competitors</title>",
            f"<style>{STYLE}\n</style>",
            *shapes,
            "</svg>\n",
        )
    )


def legend() -> Iterator[str]:
    """Yield the shapes of the legend."""
    yield text(0, 13, "Processor time per request; less is better", "title")
    yield f'<rect x="{PANEL_WIDTH}" y="3" width="12" height="12"/>'
    yield text(PANEL_WIDTH + 18, 13, "service")
    yield f'<rect class="database" x="{PANEL_WIDTH + 110}" y="3" width="12" height="12"/>'
    yield text(PANEL_WIDTH + 128, 13, "PostgreSQL")


def panel(bars: dict[str, Result]) -> Iterator[str]:
    """Yield the shapes of a panel, scaled to its longest bar."""
    longest = max(
        result.median("service_us") + result.median("database_us") for result in bars.values()
    )
    for row, (key, result) in enumerate(bars.items()):
        y = TITLE_HEIGHT + ROW_HEIGHT * row
        style = "highlight" if key == THIS_SERVICE.key else ""
        service, database = (result.median(name) for name in ("service_us", "database_us"))
        split = LABEL_WIDTH + BAR_WIDTH * service / longest
        end = split + BAR_WIDTH * database / longest
        yield text(LABEL_WIDTH - 8, y + 11, service_title(key), style, anchor="end")
        yield bar(LABEL_WIDTH, split, y, style)
        yield bar(split, end, y, f"{style} database".strip())
        yield text(end + 6, y + 11, format_cost(service, database, longest), style)


def bar(start: float, end: float, y: int, style: str) -> str:
    """Return one segment of a bar."""
    width = max(end - start, 0.5)
    return f'<rect class="{style}" x="{start:.1f}" y="{y}" width="{width:.1f}" height="14"/>'


def text(x: float, y: int, content: str, style: str = "", anchor: str = "start") -> str:
    """Return a text element."""
    position = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text class="{style}" {position}>{escape(content)}</text>'


def format_cost(service: float, database: float, longest: float) -> str:
    """Format both times, in the unit that suits the panel's longest bar."""
    if longest < 10 * MILLISECOND:
        return f"{service:,.0f} + {database:,.0f} µs"
    return f"{service / MILLISECOND:,.1f} + {database / MILLISECOND:,.1f} ms"
