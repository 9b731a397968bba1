"""Waiting for what is sure to come, and proof that nobody waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable

TIMEOUT_SECONDS = 120  # seconds; far more than anything here should take


async def poll_until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def time_limit() -> asyncio.Timeout:
    """Fail if what happens inside takes for ever: as long as a limit that must not matter."""
    return asyncio.timeout(TIMEOUT_SECONDS)
