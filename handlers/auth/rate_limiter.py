"""Rate limits: how often something may happen in a window of time.

The windows of a key follow each other by the clock, so their ends need not be stored with the
counts. `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

import time
from collections.abc import Sequence
from zlib import crc32

from handlers.auth.counters import Counters

UNITS = {86_400: b"day", 3600: b"hour", 60: b"minute", 1: b"second"}


class TooManyRequests(Exception):
    """A limit has been exceeded."""

    def __init__(self, retry_after: int) -> None:
        """Ask the client to wait for this many seconds."""
        super().__init__()
        self.retry_after = retry_after


class RateLimiter:
    """Counts hits by key, and refuses those beyond its limits."""

    def __init__(
        self, name: str, limits: Sequence[tuple[int, int]], counters: Counters
    ) -> None:
        """Allow as many hits in as many seconds as each of `limits` says.

        `name` tells these hits from others in the same `counters`.
        """
        self.name = name
        self.refused = 0
        """How many hits were beyond a limit."""
        self._counters = counters
        ordered = sorted(limits, key=lambda limit: limit[1])
        self._limits = [
            (hits, seconds, f"{name}/{seconds}/", b'"%b";r=%%d;t=%%d' % window_name(seconds))
            for hits, seconds in ordered
        ]
        policies = (b'"%b";q=%d;w=%d' % (window_name(w), q, w) for q, w in ordered)
        self._policy = (b"ratelimit-policy", b", ".join(policies))

    async def hit(self, key: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Count a hit of `key`, and add what is left of the limits to `headers`.

        Raises TooManyRequests. A hit beyond one limit does not count for longer windows.
        """
        if not self._limits:
            return
        # Each key has windows of its own: those who wait for the end of one do not come back
        # all at once.
        now = int(time.time()) + crc32(key.encode())
        left, retry_after = [], 0
        for hits, seconds, prefix, item in self._limits:
            window, elapsed = divmod(now, seconds)
            count = await self._counters.increment(prefix + key, window, seconds)
            if count is None:
                return
            left.append(item % (max(hits - count, 0), seconds - elapsed))
            if count > hits:
                retry_after = seconds - elapsed
                break
        headers += ((b"ratelimit", b", ".join(left)), self._policy)
        if retry_after:
            self.refused += 1
            raise TooManyRequests(retry_after)


def window_name(seconds: int) -> bytes:
    """Return a name for a window of this length, such as `per-hour` or `per-5-minutes`."""
    length = next(length for length in UNITS if seconds % length == 0)
    count, unit = seconds // length, UNITS[length]
    return b"per-" + (unit if count == 1 else b"%d-%bs" % (count, unit))
