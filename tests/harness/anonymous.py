"""An HTTP client without a token, and checks of 401 responses."""

import re

import httpx

from harness.contract import check_response
from harness.operations import SECURED, request_operation
from harness.service import NO_TLS

MISSING = "The token is missing."
MALFORMED = "The token is malformed."
EXPIRED = "The token has expired."
INVALID = "The token is invalid."
SECRET_PART = re.compile(r"[A-Za-z0-9_-]{16,}")


class AnonymousClient(httpx.Client):
    """An HTTP client without a token; validates each response against the contract."""

    def __init__(self, url: str) -> None:
        """Connect to the service at `url`."""
        hooks = {"response": [check_response]}
        super().__init__(base_url=url, event_hooks=hooks, timeout=30, verify=NO_TLS)

    def list_tasks(self, token: str) -> httpx.Response:
        """Send a list request with this token."""
        return self.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})

    def unauthorized_details(self, token: str, scheme: str = "Bearer ") -> set[str]:
        """Try a token on every secured operation; return the details of the 401 responses."""
        value = f"{scheme}{token}"
        headers = {b"Authorization": value.encode()}
        responses = [
            request_operation(self, operation, headers=headers) for operation in SECURED
        ]
        for response in responses:
            assert_does_not_leak(value, response)
        return {unauthorized_detail(response) for response in responses}


def unauthorized_detail(response: httpx.Response) -> str:
    """Return the detail of a 401; fail if the response is not exactly such a problem."""
    assert response.status_code == 401, response.text
    problem = response.json()
    assert problem.keys() == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "request_id",
    }
    reason: str = problem["detail"]
    assert reason in {MISSING, MALFORMED, EXPIRED, INVALID}
    # Without credentials, a challenge has no error (RFC 6750, 3.1).
    error = f' error="invalid_token", error_description="{reason}"'
    challenge = "Bearer" if reason == MISSING else f"Bearer{error}"
    assert response.headers["www-authenticate"] == challenge
    return reason


def assert_does_not_leak(secret: str, response: httpx.Response) -> None:
    """Fail if a response contains a part of a secret, of 16 characters or more."""
    assert contains_no_part_of(secret, f"{response.headers!r}\n{response.text}")


def contains_no_part_of(secret: str, text: str) -> bool:
    """Return whether a text contains no part of a secret, of 16 characters or more."""
    return not any(trace in text for trace in SECRET_PART.findall(secret))
