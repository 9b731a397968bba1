"""The chart: processor time per request, one panel for each scenario, as an SVG by hand.

Colours follow the reader's scheme, and the ground is transparent, so that it looks right
on a light page and on a dark one.
"""

from collections.abc import Iterator
from html import escape

from benchmarks.goals import TITLES
from benchmarks.report import STACK_TITLES
from benchmarks.results import Row, Rows
from benchmarks.stacks import OURS

COLUMNS = 3
PANEL, LABEL, BAR = 375, 156, 96  # widths, in pixels
TOP, HEAD, LINE, GAP = 40, 26, 19, 18  # heights
MILLISECOND = 1_000

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
text.name { font-weight: 600; font-size: 13px; fill: #1f2328 }
text.ours { font-weight: 600; fill: #0969da }
rect { fill: #8c959f }
rect.ours { fill: #0969da }
rect.database { opacity: .4 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  text.name { fill: #f0f6fc }
  text.ours { fill: #4493f8 }
  rect.ours { fill: #4493f8 }
}"""


def chart(rows: Rows) -> str:
    """Draw what has been measured."""
    scenarios = list(dict.fromkeys(scenario for scenario, _ in rows))
    shapes, y = list(legend()), TOP
    for start in range(0, len(scenarios), COLUMNS):
        line = scenarios[start : start + COLUMNS]
        for column, scenario in enumerate(line):
            bars = {stack: row for (name, stack), row in rows.items() if name == scenario}
            shapes.append(f'<g transform="translate({column * PANEL} {y})">')
            shapes += [text(0, 13, TITLES[scenario], "name"), *draw(bars), "</g>"]
        most = max(len([name for name, _ in rows if name == one]) for one in line)
        y += HEAD + LINE * most + GAP
    size = f'width="{PANEL * COLUMNS}" height="{y}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            "<title>Processor time per request, beside others</title>",
            f"<style>{STYLE}\n</style>",
            *shapes,
            "</svg>\n",
        )
    )


def legend() -> Iterator[str]:
    """Say what the bars are."""
    yield text(0, 13, "Processor time per request; less is better", "name")
    yield f'<rect x="{PANEL}" y="3" width="12" height="12"/>'
    yield text(PANEL + 18, 13, "the service")
    yield f'<rect class="database" x="{PANEL + 110}" y="3" width="12" height="12"/>'
    yield text(PANEL + 128, 13, "PostgreSQL")


def draw(bars: dict[str, Row]) -> Iterator[str]:
    """Draw a panel's bars, the longest as long as there is room."""
    longest = max(row.middle("service_us") + row.middle("database_us") for row in bars.values())
    for line, (stack, row) in enumerate(bars.items()):
        y = HEAD + LINE * line
        kind = "ours" if stack == OURS.key else ""
        service, database = (row.middle(name) for name in ("service_us", "database_us"))
        split = LABEL + BAR * service / longest
        end = split + BAR * database / longest
        yield text(LABEL - 8, y + 11, STACK_TITLES.get(stack, stack), kind, anchor="end")
        yield bar(LABEL, split, y, kind)
        yield bar(split, end, y, f"{kind} database".strip())
        yield text(end + 6, y + 11, amount(service, database, longest), kind)


def bar(start: float, end: float, y: int, kind: str) -> str:
    """Draw a part of a bar."""
    width = max(end - start, 0.5)
    return f'<rect class="{kind}" x="{start:.1f}" y="{y}" width="{width:.1f}" height="14"/>'


def text(x: float, y: int, words: str, kind: str = "", anchor: str = "start") -> str:
    """Write something."""
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def amount(service: float, database: float, longest: float) -> str:
    """Write both times, in the unit that suits the longest of the panel."""
    if longest < 10 * MILLISECOND:
        return f"{service:,.0f} + {database:,.0f} µs"
    return f"{service / MILLISECOND:,.1f} + {database / MILLISECOND:,.1f} ms"
