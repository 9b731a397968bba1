"""Verify that all services give equivalent responses: otherwise they are not comparable."""

import json
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

from benchmarks.processes import HOST, RunningService
from benchmarks.scenarios import Scenario
from benchmarks.testbed import Testbed

SAMPLES = 3
"""Requests of each scenario that are compared."""
TIMESTAMPS = ("due_date", "remind_at", "completed_at", "created_at", "updated_at")

Response = tuple[int, Any]


class ResponseMismatch(Exception):
    """Two services respond differently to the same request; the message shows both."""


def verify_responses(testbed: Testbed, scenarios: list[Scenario]) -> None:
    """Send the same requests to every service. Raises ResponseMismatch."""
    samples = [
        (scenario, request)
        for scenario in scenarios
        for request in scenario.requests()[:SAMPLES]
    ]
    reference: tuple[RunningService, list[Response]] | None = None
    for running in testbed.services:
        if not running.service.implements_api:
            continue
        responses = [normalise(one, send(running, request)) for one, request in samples]
        testbed.dataset(running).reset()
        if reference is None:
            reference = running, responses
        for (_, request), actual, expected in zip(
            samples, responses, reference[1], strict=True
        ):
            if actual != expected:
                message = describe_mismatch(request, reference[0], expected, running, actual)
                raise ResponseMismatch(message)


def send(running: RunningService, request: bytes) -> Response:
    """Send a prebuilt request; return the status and the decoded JSON body.

    A body of any other type is returned as bytes.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    method, path, _ = start.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    connection = HTTPConnection(HOST, running.port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        if response.headers.get_content_type() != "application/json":
            return response.status, content
        return response.status, json.loads(content)
    finally:
        connection.close()


def normalise(scenario: Scenario, response: Response) -> Response:
    """Remove permitted differences: timestamp formats, generated ids and timestamps."""
    status, content = response
    if isinstance(content, bytes):
        return response
    is_list = isinstance(content, list)
    tasks = [dict(task) for task in (content if is_list else [content])]
    for task in tasks:
        for name in TIMESTAMPS:
            if task.get(name):
                task[name] = to_milliseconds(task[name])
        if scenario.writes:
            task.pop("updated_at", None)
            task["completed_at"] = task["completed_at"] is not None
        if status == 201:  # noqa: PLR2004 (created)
            del task["id"], task["created_at"]
    return status, tasks if is_list else tasks[0]


def to_milliseconds(text: str) -> datetime:
    """Parse a timestamp, truncated to milliseconds, the resolution of JavaScript."""
    timestamp = datetime.fromisoformat(text).astimezone(UTC)
    return timestamp.replace(microsecond=timestamp.microsecond // 1000 * 1000)


def describe_mismatch(
    request: bytes,
    reference: RunningService,
    expected: Response,
    running: RunningService,
    actual: Response,
) -> str:
    """Return the request, both responses and the end of the log, cut to a readable length."""
    return (
        f"Services respond differently to\n\n{request.decode()}\n\n"
        f"{reference.service.title}: {str(expected)[:600]}\n\n"
        f"{running.service.title}: {str(actual)[:600]}\n"
        f"{running.log.read_text(errors='replace')[-2000:]}"
    )
