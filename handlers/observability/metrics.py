"""What a process counts, and how it hands that to the process that serves /metrics.

Figures are plain numbers in nested dictionaries. Each process that serves requests writes its
own to a file every second, and `exporter` adds up the files at each scrape.

The multiprocess mode of prometheus_client is not used: it locks and writes a memory-mapped
file for each observation, which takes 8 µs instead of 1, and has no collectors for figures
that are kept elsewhere, such as those of the pool.
"""

import asyncio
import logging
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
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
        # For each operation and status: a count for each bucket, and the sum of seconds.
        self._responses = defaultdict[tuple[str, int], list[float]](
            lambda: [0] * (len(BOUNDS) + 2)
        )
        for operation, documented in statuses.items():
            for status in documented:
                self._responses[operation, status]

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a response; see `Observer`."""
        operation = scope["state"].get("operation_id", NO_OPERATION)
        response = self._responses[operation, status]
        response[bisect_left(BOUNDS, seconds)] += 1
        response[-1] += seconds

    def figures(self) -> Figures:
        """Return the number of responses by status, and by bound, with the sum of seconds."""
        names = [*map(str, BOUNDS), "+Inf", "sum"]
        requests: Figures = defaultdict(dict)
        latencies: Figures = defaultdict(lambda: dict.fromkeys(names, 0))
        for (operation, status), response in self._responses.items():
            requests[operation][str(status)] = sum(response[:-1])
            for name, value in zip(names, response, strict=True):
                latencies[operation][name] += value
        return {"requests": requests, "latencies": latencies}


@asynccontextmanager
async def writing_snapshots(
    figures: Callable[[], Figures], directory: Path
) -> AsyncIterator[None]:
    """Write this process's figures every second until the context exits, and then once more."""
    stopped = asyncio.Event()

    async def write() -> None:
        # In a thread: the disk may be slow.
        await asyncio.to_thread(_write, figures(), directory)

    async def write_repeatedly() -> None:
        while not stopped.is_set():
            await write()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), INTERVAL)
        await write()

    task = asyncio.create_task(write_repeatedly())
    try:
        yield
    finally:
        stopped.set()
        await task


def _write(figures: Figures, directory: Path) -> None:
    """Replace the file at once, so that it is never read half-written."""
    path = directory / f"{os.getpid()}.json"
    new = path.with_suffix(".new")
    try:
        new.write_bytes(orjson.dumps(figures))
        new.replace(path)
    except OSError as error:  # the disk is full, for example: the last snapshot stands
        logger.debug("metrics cannot be written: %s", error)
