"""Warnings that every request would repeat, were they not throttled."""

import logging
import time
from math import inf

_INTERVAL = 60.0  # seconds between two warnings of a kind


class Throttle:
    """Logs each kind of warning at most once a minute."""

    def __init__(self, logger: logging.Logger) -> None:
        """Log to `logger`."""
        self._logger = logger
        self._warned_at: dict[str, float] = {}

    def warning(self, message: str, *args: object) -> None:
        """Log a warning; those of one `message` are of one kind, whatever the `args`."""
        now = time.monotonic()
        if now - self._warned_at.get(message, -inf) > _INTERVAL:
            self._warned_at[message] = now
            self._logger.warning(message, *args)
