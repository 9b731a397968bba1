"""Reading /metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from harness.service import NO_TLS


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the value of each sample by its name and labels, the operation first."""
    url = f"http://127.0.0.1:{port}/metrics"
    text = httpx.get(url, verify=NO_TLS).raise_for_status().text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels, key=_rank))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _rank(label: str) -> bool:
    return label != "operation"
