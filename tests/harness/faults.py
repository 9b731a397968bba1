"""Fixtures and helpers for tests of faults: services, and many requests at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from harness import clients
from harness.postgres import TIMEOUT_SECONDS, Postgres
from harness.service import SECRET, Serve, Service

# Longer than the client's timeout, so these limits end no request in a test.
PATIENT = {"DATABASE_QUEUE_TIMEOUT": "3000", "DATABASE_STATEMENT_TIMEOUT": "3000"}

Run = Callable[..., Service]
Send = Callable[[], httpx.Response]


@pytest.fixture
def run(postgres: Postgres, serve: Serve, tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs services; fails if their logs contain a secret."""
    tokens: list[str] = []

    def token(user: str) -> str:
        tokens.append(sign(user))
        return tokens[-1]

    sign = clients.token
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "token", token)
        yield lambda *options, port=None, **settings: serve(
            {"ACCESS_LOG": "true", **postgres.environment, **settings}, *options, port=port
        ).wait_until_healthy()
    passwords = postgres.cluster.passwords().values()
    for log in tmp_path.glob("*.log"):
        words = log.read_text()
        assert "Traceback" not in words
        for secret in (SECRET, *passwords, *tokens):
            assert secret not in words


@pytest.fixture
def submit() -> Iterator[Callable[[Send, int], list[Future[httpx.Response]]]]:
    """Return a function that sends a request many times concurrently."""
    with ThreadPoolExecutor(60) as pool:
        yield lambda send, count: [pool.submit(send) for _ in range(count)]


Submit = Callable[[Send, int], list[Future[httpx.Response]]]


def statuses(requests: list[Future[httpx.Response]]) -> list[int]:
    """Return the sorted statuses of all responses; each 503 must have Retry-After."""
    responses = [request.result(TIMEOUT_SECONDS) for request in requests]
    return sorted(status(response) for response in responses)


def status(response: httpx.Response) -> int:
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
    return response.status_code


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/ready").status_code == 200
