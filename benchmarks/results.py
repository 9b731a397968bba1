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
        return median(self._values(name))

    def spread(self, name: str) -> float:
        """Return half the range over the rounds, as a part of the median."""
        values = self._values(name)
        middle = median(values)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    @property
    def errors(self) -> int:
        """Count the errors of all rounds."""
        return sum(one.errors for one in self.figures)

    @property
    def sum_us(self) -> float:
        """Return the processor time of service and PostgreSQL together for one request."""
        return median(one.service_us + one.database_us for one in self.figures)

    def _values(self, name: str) -> list[float]:
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
