"""What happens between SIGTERM and the end of a process."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_sigterm(callback: Callable[[], None], delay: float) -> Iterator[None]:
    """Call `callback` on SIGTERM, and the handler before this one `delay` seconds later.

    Load balancers notice in the meantime that the process is about to stop. Use it in a
    coroutine; outside of the main thread, which gets all signals, it does nothing.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    loop = asyncio.get_running_loop()

    def handle(number: int, _frame: FrameType | None) -> None:
        callback()
        loop.call_soon_threadsafe(loop.call_later, delay, previous, number, None)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
