"""What a process counts, and how it hands that to the process that serves /metrics.

Figures are plain numbers in nested dictionaries. Each process that serves requests writes its
own to a file every second, and `exporter` adds up the files at each scrape.

The multiprocess mode of prometheus_client is not used: it locks and writes a memory-mapped
file for each observation, which takes 8 µs instead of 0.3, and has no collectors for figures
that are kept elsewhere, such as those of the pool.
"""

import asyncio
import logging
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from starlette.types import Scope

Figures = dict[str, Any]
"""Numbers in nested dictionaries."""

# Around 1 ms, the usual time, and 0.2 s, the most that a request should take.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""The upper bounds of the buckets of the latency histogram, in seconds."""

NO_OPERATION = "none"
"""The label of requests for pages, for unknown paths and of CORS preflights."""

INTERVAL = 1.0  # seconds between two snapshots

logger = logging.getLogger("todo.metrics")


class RequestMetrics:
    """An observer that counts responses and the time they take, by operation.

    Labels are operationIds and statuses, never paths.
    """

    def __init__(self, statuses: Mapping[str, Iterable[int]]) -> None:
        """Start at 0 for these statuses of each operation, so that the first one is seen."""
        self._counts = defaultdict[tuple[str, int], int](int)
        self._latencies = defaultdict[str, list[float]](lambda: [0] * (len(BOUNDS) + 2))
        for operation, documented in statuses.items():
            self._counts.update(((operation, status), 0) for status in documented)
            self._latencies[operation]

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a response; see `Observer`."""
        operation = scope["state"].get("operation_id", NO_OPERATION)
        self._counts[operation, status] += 1
        latency = self._latencies[operation]
        latency[bisect_left(BOUNDS, seconds)] += 1
        latency[-1] += seconds

    def figures(self) -> Figures:
        """Return the number of responses by status, and by bound, with the sum of seconds."""
        requests: Figures = defaultdict(dict)
        for (operation, status), count in self._counts.items():
            requests[operation][str(status)] = count
        names = [*map(str, BOUNDS), "+Inf", "sum"]
        latencies = {
            operation: dict(zip(names, latency, strict=True))
            for operation, latency in self._latencies.items()
        }
        return {"requests": requests, "latencies": latencies}


@asynccontextmanager
async def writing_snapshots(
    figures: Callable[[], Figures], directory: Path
) -> AsyncIterator[None]:
    """Write this process's figures every second until the context exits, and then once more."""

    async def write_repeatedly() -> None:
        while True:
            _write(figures(), directory)
            await asyncio.sleep(INTERVAL)

    task = asyncio.create_task(write_repeatedly())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        _write(figures(), directory)


def _write(figures: Figures, directory: Path) -> None:
    """Replace the file at once, so that it is never read half-written."""
    path = directory / f"{os.getpid()}.json"
    new = path.with_suffix(".new")
    try:
        new.write_bytes(orjson.dumps(figures))
        new.replace(path)
    except OSError as error:  # the disk is full, for example: the last snapshot stands
        logger.debug("metrics cannot be written: %s", error)
