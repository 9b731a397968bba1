"""Verify that all services give equivalent responses: otherwise they are not comparable."""

import json
from datetime import UTC, datetime
from http.client import CREATED, NOT_MODIFIED
from typing import Any

from benchmarks.client import conditional, send
from benchmarks.processes import RunningService
from benchmarks.scenarios import Scenario
from benchmarks.testbed import Testbed

SAMPLES = 3
"""Requests of each scenario that are compared."""
TIMESTAMPS = ("due_date", "remind_at", "completed_at", "created_at", "updated_at")

Response = tuple[int, Any]


class ResponseMismatch(Exception):
    """A response is not as expected; the message shows it, and the request."""


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
        responses = [normalise(one, respond(running, request)) for one, request in samples]
        if running.service.entity_tags:
            verify_polls(running, [request for one, request in samples if one.polls])
        testbed.dataset(running).reset()
        if reference is None:
            reference = running, responses
        for (_, request), actual, expected in zip(
            samples, responses, reference[1], strict=True
        ):
            if actual != expected:
                message = describe_mismatch(request, reference[0], expected, running, actual)
                raise ResponseMismatch(message)


def verify_polls(running: RunningService, requests: list[bytes]) -> None:
    """Poll unchanged lists. Raises ResponseMismatch if a response is not 304."""
    for request in requests:
        poll = conditional(running, request)
        status = send(running, poll).status
        if status != NOT_MODIFIED:
            message = f"{running.service.title} responds with {status} to\n\n{poll.decode()}"
            raise ResponseMismatch(message)


def respond(running: RunningService, request: bytes) -> Response:
    """Send a request; return the status and the decoded body, as bytes if it is not JSON."""
    status, headers, content = send(running, request)
    if headers.get_content_type() != "application/json":
        return status, content
    return status, json.loads(content)


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
        if status == CREATED:
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
