"""Waiting for what is sure to come, and proof that nobody waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 120  # seconds; far more than anything here should take


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def soon() -> asyncio.Timeout:
    """Fail if what happens inside takes for ever: as long as a limit that must not matter."""
    return asyncio.timeout(PATIENCE)
