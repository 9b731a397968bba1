"""Results: for each service and scenario, the measurements of all rounds."""

import json
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.load import Measurement


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of one service in one scenario, one per round."""

    measurements: tuple[Measurement, ...]

    def median(self, metric: str) -> float:
        """Return the median of a metric over all rounds."""
        return median(self.values(metric))

    def spread(self, metric: str) -> float:
        """Return half the range of a metric over all rounds, relative to its median."""
        values = self.values(metric)
        middle = median(values)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    @property
    def errors(self) -> int:
        """Return the number of errors in all rounds."""
        return sum(one.errors for one in self.measurements)

    def ratio_to(self, other: "Result", metric: str) -> float:
        """Return the median over all rounds of the ratio between two results.

        Ratios are taken within a round, since the machine's speed may change by half from
        one round to the next.
        """
        return median(self.ratios_to(other, metric))

    def ratios_to(self, other: "Result", metric: str) -> list[float]:
        """Return the ratio between two results in each round."""
        pairs = zip(self.values(metric), other.values(metric), strict=True)
        return [mine / theirs for mine, theirs in pairs]

    def values(self, metric: str) -> list[float]:
        """Return a metric of each round."""
        return [float(getattr(one, metric)) for one in self.measurements]


Results = dict[tuple[str, str], Result]
"""Results by the keys of scenario and service."""


def to_json(results: Results, environment: dict[str, str]) -> str:
    """Return all measurements and their environment as JSON."""
    runs = [
        {"scenario": scenario, "service": service, "round": number, **asdict(measurement)}
        for (scenario, service), result in results.items()
        for number, measurement in enumerate(result.measurements, 1)
    ]
    lines = ",\n    ".join(json.dumps(run) for run in runs)
    head = json.dumps(environment, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return f'{{\n  "environment": {head},\n  "runs": [\n    {lines}\n  ]\n}}\n'
