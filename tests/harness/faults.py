"""What tests of faults share: settings, and many requests at once."""

from collections.abc import Callable
from concurrent.futures import Future

import httpx

from harness.postgres import TIMEOUT_SECONDS
from harness.service import NO_TLS, Service

# Longer than the client's timeout, so these limits end no request in a test.
PATIENT = {"DATABASE_QUEUE_TIMEOUT": "3000", "DATABASE_STATEMENT_TIMEOUT": "3000"}

Run = Callable[..., Service]
Send = Callable[[], httpx.Response]
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
    return httpx.get(f"{service.url}/ready", verify=NO_TLS).status_code == 200
