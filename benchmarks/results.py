"""What has been measured: for each service in each scenario, the figures of every round."""

import json
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.drive import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """A service in a scenario."""

    figures: tuple[Figures, ...]

    def middle(self, name: str) -> float:
        """Return the median of a figure over the rounds."""
        return median(self.values(name))

    def spread(self, name: str) -> float:
        """Return half the range over the rounds, as a part of the median."""
        values = self.values(name)
        middle = median(values)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    @property
    def errors(self) -> int:
        """Count the errors of all rounds."""
        return sum(one.errors for one in self.figures)

    def times(self, other: "Row", name: str) -> float:
        """Return how many times as much a figure is as another's.

        That is the median of what each round says: its drives followed one another, while
        the machine's own speed may change by half from round to round.
        """
        pairs = zip(self.values(name), other.values(name), strict=True)
        return median(mine / theirs for mine, theirs in pairs)

    def values(self, name: str) -> list[float]:
        """Return a figure of every round."""
        return [float(getattr(one, name)) for one in self.figures]


Rows = dict[tuple[str, str], Row]
"""Rows by scenario and stack."""


def as_json(rows: Rows, conditions: dict[str, str]) -> str:
    """Write everything down."""
    drives = [
        {"scenario": scenario, "stack": stack, "round": number, **asdict(figures)}
        for (scenario, stack), row in rows.items()
        for number, figures in enumerate(row.figures, 1)
    ]
    lines = ",\n    ".join(json.dumps(drive) for drive in drives)
    head = json.dumps(conditions, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return f'{{\n  "conditions": {head},\n  "drives": [\n    {lines}\n  ]\n}}\n'
