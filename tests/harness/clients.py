"""People with tokens, whose every exchange is held against the contract."""

import secrets
import time
from typing import Any

import httpx
import jwt

from harness.contract import check_response
from harness.service import SECRET


def token(subject: object, *, secret: str = SECRET, **claims: Any) -> str:
    """Sign a token for a subject as a frontend with the shared secret would."""
    now = int(time.time())
    payload = {"sub": subject, "iat": now, "exp": now + 900, **claims}
    present = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(present, secret, "HS256")


def new_user_id() -> str:
    """Make up a user id that nobody has had: 32 characters, as Better Auth does."""
    return secrets.token_hex(16)


class AuthedClient(httpx.Client):
    """An HTTP client with a person's token; every answer must keep the contract."""

    def __init__(self, url: str, user_id: str) -> None:
        """Speak to the service at `url` as this user."""
        super().__init__(
            base_url=url,
            headers={"Authorization": f"Bearer {token(user_id)}"},
            event_hooks={"response": [check_response]},
            timeout=30,
            verify=False,  # no TLS here, and loading certificates takes 24 ms
        )
        self.id = user_id

    def create_task(self, title: str = "Water the plants", **fields: Any) -> dict[str, Any]:
        """Create a task and return it as answered."""
        response = self.post("/api/tasks", json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def list_tasks(self, **query: Any) -> list[dict[str, Any]]:
        """List tasks and return them as answered."""
        response = self.get("/api/tasks", params=query)
        assert response.status_code == 200, response.text
        tasks: list[dict[str, Any]] = response.json()
        return tasks

    def list_titles(self, **query: Any) -> list[str]:
        """List tasks and return their titles in order."""
        return [task["title"] for task in self.list_tasks(**query)]
