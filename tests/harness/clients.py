"""An authenticated HTTP client that validates responses against the contract."""

import secrets
import time
from typing import Any

import httpx
import jwt

from harness.contract import check_response
from harness.service import NO_TLS, SECRET


def token(subject: object, *, secret: str = SECRET, **claims: Any) -> str:
    """Sign a token with the shared secret; a claim that is None is left out."""
    now = int(time.time())
    payload = {"sub": subject, "iat": now, "exp": now + 900, **claims}
    present = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(present, secret, "HS256")


def new_user_id() -> str:
    """Return a unique user id of 32 characters, like those of Better Auth."""
    return secrets.token_hex(16)


class AuthedClient(httpx.Client):
    """An HTTP client with a user's token; validates each response against the contract."""

    def __init__(self, url: str, user_id: str) -> None:
        """Connect to the service at `url` as this user."""
        super().__init__(
            base_url=url,
            headers={"Authorization": f"Bearer {token(user_id)}"},
            event_hooks={"response": [check_response]},
            timeout=30,
            verify=NO_TLS,
        )
        self.id = user_id

    def create_task(self, title: str = "Water the plants", **fields: Any) -> dict[str, Any]:
        """Create a task; return the body of the response."""
        response = self.post("/api/tasks", json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def list_tasks(self, **query: Any) -> list[dict[str, Any]]:
        """List tasks; return the body of the response."""
        response = self.get("/api/tasks", params=query)
        assert response.status_code == 200, response.text
        tasks: list[dict[str, Any]] = response.json()
        return tasks

    def list_titles(self, **query: Any) -> list[str]:
        """List tasks; return their titles in order."""
        return [task["title"] for task in self.list_tasks(**query)]
