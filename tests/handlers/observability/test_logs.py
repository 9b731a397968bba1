"""The formats of log lines, and the ids of the request that is handled."""

import json
import logging
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.middleware.request_context import current_request
from handlers.observability.logs import TEXT_FORMAT, JSONFormatter, TextFormatter, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
REQUEST = "0123456789abcdef0123456789abcdef"

NOT_TRACEPARENTS = {
    "empty": b"",
    "a trace id of zeros": b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
    "a parent id of zeros": b"00-%b-0000000000000000-01" % TRACE.encode(),
    "capitals": PARENT.upper().encode(),
    "a short trace id": b"00-%b-00f067aa0ba902b7-01" % TRACE[1:].encode(),
    "no flags": PARENT.encode()[:-3],
    "the version that is forbidden": b"ff" + PARENT.encode()[2:],
    "version 00 with more": PARENT.encode() + b"-more",
    "a newline": PARENT.encode() + b"\n",
    "a later version whose flags do not end": b"01" + PARENT.encode()[2:] + b"0",
}


def record(message: str, *values: object, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord("todo.test", logging.WARNING, "", 0, message, values, None)
    vars(made).update(attributes)
    return made


def formatted(
    formatter: logging.Formatter, line: logging.LogRecord, *headers: tuple[bytes, bytes]
) -> str:
    """Format a record as during a request with these headers."""
    context = copy_context()
    context.run(current_request.set, {"state": {"request_id": REQUEST}, "headers": headers})
    return context.run(formatter.format, line)


def failed(message: str) -> logging.LogRecord:
    error = ValueError(message)
    return record("it failed", exc_info=(type(error), error, None))


def test_a_line_in_text_ends_with_the_ids_of_the_request() -> None:
    formatter = TextFormatter(TEXT_FORMAT)
    line = record("no connection within %s s", 2)
    assert formatter.format(line).endswith(" WARNING todo.test: no connection within 2 s")
    assert formatted(formatter, line).endswith(f" no connection within 2 s {REQUEST}")
    traced = formatted(formatter, line, (b"traceparent", PARENT.encode()))
    assert traced.endswith(f" no connection within 2 s {REQUEST} {TRACE}")


def test_a_traceback_in_text_follows_the_ids() -> None:
    first, *others = formatted(TextFormatter(TEXT_FORMAT), failed("no")).splitlines()
    assert first.endswith(f"it failed {REQUEST}")
    assert others[-1] == "ValueError: no"


def test_a_line_in_json_is_an_object_with_the_ids_of_the_request() -> None:
    line = record("no connection within %s s", 2, created=1_790_000_000.25)
    header = (b"traceparent", PARENT.encode())
    assert json.loads(formatted(JSONFormatter(), line, header)) == {
        "timestamp": "2026-09-21T14:13:20.250Z",
        "level": "WARNING",
        "logger": "todo.test",
        "message": "no connection within 2 s",
        "request_id": REQUEST,
        "trace_id": TRACE,
    }


def test_outside_of_a_request_there_are_no_ids() -> None:
    line = json.loads(JSONFormatter().format(record("it starts")))
    assert line.keys() == {"timestamp", "level", "logger", "message"}
    instant = datetime.fromisoformat(line["timestamp"])
    assert instant.tzinfo == UTC


def test_json_is_one_line_whatever_is_logged() -> None:
    line = formatted(JSONFormatter(), failed('two\nlines, a "quote" and half of \ud83d'))
    assert line.splitlines() == [line]
    parsed = json.loads(line)
    assert parsed["exception"].startswith("ValueError: two\n")
    assert parsed["exception"].endswith('two\nlines, a "quote" and half of \\ud83d')
    text = formatted(JSONFormatter(), record("%s", "a\u2028b\nc\x00 \udcff"))
    assert json.loads(text)["message"] == "a\u2028b\nc\x00 \\udcff"
    assert "\n" not in text


@pytest.mark.parametrize("more", ["", "-what comes later"])
@pytest.mark.parametrize("version", ["00", "01", "fe"])
def test_the_trace_id_is_that_of_the_traceparent(version: str, more: str) -> None:
    value = f"{version}{PARENT[2:]}{more}".encode()
    expected = None if version == "00" and more else TRACE
    assert trace_id([(b"accept", b"*/*"), (b"traceparent", value)]) == expected


@pytest.mark.parametrize("name", NOT_TRACEPARENTS)
def test_an_invalid_traceparent_is_ignored(name: str) -> None:
    assert trace_id([(b"traceparent", NOT_TRACEPARENTS[name])]) is None


def test_two_traceparents_are_ignored() -> None:
    assert trace_id([(b"traceparent", PARENT.encode())] * 2) is None
    assert trace_id([]) is None
