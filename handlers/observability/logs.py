"""Logging to standard error: one format for every line, those of uvicorn included.

A line that is logged during a request has the request's id, and the trace id that its caller
has sent (W3C Trace Context). Both are looked up when a line is formatted, so a request that
logs nothing pays for neither.
"""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from handlers.middleware.request_context import current_request

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

# Version 00 has exactly these fields; a later one may have more.
TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def configure_logging(level: str, log_format: str) -> None:
    """Log to standard error as `text` or `json`, unless logging is configured already."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JSONFormatter() if log_format == "json" else TextFormatter(TEXT_FORMAT)
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # They log each migration, each fetch of keys, and each line of a page that is rendered.
    for verbose in ("alembic", "httpx", "markdown_it"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """Lines for people, which end with the ids of the request."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the line, without the traceback that may follow it."""
        return " ".join([super().formatMessage(record), *_request_ids().values()])


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as an object: its time is in UTC, as RFC 3339 has it."""
        line: dict[str, Any] = {
            "timestamp": _timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _valid(record.getMessage()),
            **_request_ids(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = _valid(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def trace_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the trace id of a request's `traceparent`; None without a valid one."""
    values = [value for name, value in headers if name == b"traceparent"]
    match = TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return match[1].decode() if match else None


def _request_ids() -> dict[str, str]:
    """Return the ids of the request that the current task handles, if it handles one."""
    scope = current_request.get(None)
    if scope is None:
        return {}
    ids = {"request_id": scope["state"]["request_id"], "trace_id": trace_id(scope["headers"])}
    return {name: value for name, value in ids.items() if value is not None}


def _timestamp(seconds: float) -> str:
    instant = datetime.fromtimestamp(seconds, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _valid(text: str) -> str:
    """Return a text that JSON can have: lone surrogates are escaped."""
    return text.encode(errors="backslashreplace").decode()
