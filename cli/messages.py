"""What commands say on standard error, apart from the log."""

import logging
import os
import sys

from handlers.observability.logs import configure_logging

logger = logging.getLogger("todo.cli")


def report(message: str, level: int, *, prefix: str = "") -> None:
    """Write a sentence to standard error, with LOG_FORMAT=json as a line of the log.

    Programs then read every line. Works before the settings have been read, since a message
    may be about them; only a line of text has the prefix.
    """
    if os.environ.get("LOG_FORMAT", "").strip().lower() == "json":
        configure_logging("info", "json")
        logger.log(level, "%s", message)
    else:
        print(f"{prefix}{message}", file=sys.stderr)
