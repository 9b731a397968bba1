"""A client that keeps a copy of a user's tasks."""

from typing import Any

from harness.clients import AuthedClient

Task = dict[str, Any]
Tasks = dict[str, Task]
"""By id."""


class Replica:
    """A copy of a user's tasks, kept up to date with `GET /api/tasks/changes`."""

    def __init__(self, client: AuthedClient, limit: int) -> None:
        """Start with nothing; read `limit` changes at a time."""
        self.client = client
        self.limit = limit
        self.tasks: Tasks = {}
        self.token: str | None = None
        self.pages = 0

    def read_page(self) -> bool:
        """Apply one page of changes; return whether there are more."""
        query: dict[str, Any] = {"limit": self.limit}
        if self.token:
            query["since"] = self.token
        response = self.client.get("/api/tasks/changes", params=query)
        assert response.status_code == 200, response.text
        changes = response.json()
        assert len(changes["changed"]) + len(changes["deleted"]) <= self.limit
        assert len(changes["changed"]) + len(changes["deleted"]) > 0 or not changes["more"]
        for task in changes["changed"]:
            self.tasks[task["id"]] = task
        for task_id in changes["deleted"]:
            self.tasks.pop(task_id, None)
        self.token = changes["next"]
        self.pages += 1
        return bool(changes["more"])

    def synchronize(self) -> Tasks:
        """Read all changes; return the tasks."""
        while self.read_page():
            pass
        return self.tasks


def listed(client: AuthedClient) -> Tasks:
    """Return the tasks of the user, as the list has them."""
    return {task["id"]: task for task in client.list_tasks()}
