"""Whether all services answer alike: nobody is faster by doing something else."""

import json
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

from benchmarks.laboratory import Laboratory
from benchmarks.scenarios import Scenario
from benchmarks.stacks import HOST, Running

SAMPLES = 3
"""Requests of each scenario that everybody has to answer."""
INSTANTS = ("due_date", "created_at", "updated_at")

Answer = tuple[int, Any]


class Disagreement(Exception):
    """Two services answer the same request differently; the message shows how."""


def check(laboratory: Laboratory, scenarios: list[Scenario]) -> None:
    """Ask every service the same; raises Disagreement."""
    asked = [(one, sample) for one in scenarios for sample in one.requests()[:SAMPLES]]
    first: tuple[Running, list[Answer]] | None = None
    for service in laboratory.services:
        if not service.stack.answers:
            continue
        answers = [comparable(one, answer(service, sample)) for one, sample in asked]
        laboratory.dataset.reset()
        if first is None:
            first = service, answers
        for (_, sample), theirs, ours in zip(asked, answers, first[1], strict=True):
            if theirs != ours:
                raise Disagreement(difference(sample, first[0], ours, service, theirs))


def answer(service: Running, request: bytes) -> Answer:
    """Send a request as it is; return the status, and what the JSON says."""
    head, _, body = request.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    method, path, _ = start.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    connection = HTTPConnection(HOST, service.port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        if response.headers.get_content_type() != "application/json":
            return response.status, content
        return response.status, json.loads(content)
    finally:
        connection.close()


def comparable(scenario: Scenario, found: Answer) -> Answer:
    """Take away what may differ: how instants are written, and what is made up on the way."""
    status, content = found
    if isinstance(content, bytes):
        return found
    several = isinstance(content, list)
    tasks = [dict(task) for task in (content if several else [content])]
    for task in tasks:
        for name in INSTANTS:
            if task.get(name):
                task[name] = milliseconds(task[name])
        if scenario.writes:
            task.pop("updated_at", None)
        if status == 201:  # noqa: PLR2004 (created)
            del task["id"], task["created_at"]
    return status, tasks if several else tasks[0]


def milliseconds(text: str) -> datetime:
    """Read an instant; JavaScript knows no smaller unit."""
    instant = datetime.fromisoformat(text).astimezone(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def difference(
    request: bytes, one: Running, ours: Answer, other: Running, theirs: Answer
) -> str:
    """Show who answers what, as far as it fits on a screen."""
    return (
        f"They answer differently to\n\n{request.decode()}\n\n"
        f"{one.stack.title}: {str(ours)[:600]}\n\n{other.stack.title}: {str(theirs)[:600]}\n"
        f"{other.log.read_text(errors='replace')[-2000:]}"
    )
