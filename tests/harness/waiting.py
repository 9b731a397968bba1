"""Waiting for a condition, and a limit for waits that must end."""

import asyncio
from collections.abc import Awaitable, Callable

TIMEOUT_SECONDS = 120  # far more than anything here should take


async def poll_until(condition: Callable[[], Awaitable[object]]) -> None:
    """Await a condition repeatedly until it is true; raises TimeoutError."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def time_limit() -> asyncio.Timeout:
    """Return a timeout for what must not depend on the longer timeouts of the service."""
    return asyncio.timeout(TIMEOUT_SECONDS)
