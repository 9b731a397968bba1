"""The scenarios: for each, the requests that are sent, prebuilt as bytes."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import jwt
import orjson

from benchmarks.dataset import (
    TASKS_PER_USER,
    USERS,
    regular_user,
    task_id,
    user_id,
    user_with,
)

SECRET = "a secret of the benchmarks, long enough for HS256"  # noqa: S105 (loopback only)
DISTINCT_REQUESTS = 5_000
"""Number of requests before a scenario repeats itself."""
CONNECTIONS = 100
"""Concurrent client connections."""
FEW_CONNECTIONS = 4
"""Concurrent client connections in scenarios with slow responses."""


class Sampler(random.Random):
    """Picks users and tasks at random, the same ones on every run."""

    def __init__(self, seed: str, users: int) -> None:
        """Sample from this number of regular users."""
        super().__init__(seed)
        self.users = users

    def user(self) -> str:
        """Pick a regular user."""
        return regular_user(self.randrange(self.users))

    def task(self) -> tuple[str, str]:
        """Pick a task of a regular user; return the user and the task's path."""
        name = self.user()
        return name, f"/api/tasks/{task_id(name, self.randint(1, TASKS_PER_USER))}"


RequestBuilder = Callable[[Sampler], bytes]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    key: str
    title: str
    build: RequestBuilder
    writes: bool = False
    connections: int = CONNECTIONS
    distinct: int = DISTINCT_REQUESTS
    polls: str | None = None
    """The scenario with the same list, if clients poll it: requests get `If-None-Match`."""
    pause_ms: int = 0
    """How long each client waits before a request; then each worker gets as many clients."""

    def requests(self, users: int = USERS) -> list[bytes]:
        """Build all requests, for a dataset with this number of regular users."""
        sampler = Sampler(self.key, users)
        return [self.build(sampler) for _ in range(self.distinct)]


@cache
def token(name: str) -> str:
    """Sign a token for a user, valid for a day."""
    now = int(time.time())
    claims = {"sub": user_id(name), "iat": now, "exp": now + 86_400}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def build_request(
    method: str, path: str, name: str, fields: Mapping[str, str] | None = None
) -> bytes:
    """Build an HTTP request as the user `name`, with `fields` as its JSON body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: benchmark",
        f"Authorization: Bearer {token(name)}",
    ]
    body = b""
    if fields is not None:
        body = orjson.dumps(fields)
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(sampler: Sampler) -> bytes:
    """Get a task."""
    name, path = sampler.task()
    return build_request("GET", path, name)


def create(sampler: Sampler) -> bytes:
    """Create a task."""
    name = sampler.user()
    fields = {
        "title": f"Buy {sampler.randint(2, 99)} apples, if they are good",
        "description": "Not the green ones; the others keep until Christmas",
        "priority": sampler.choice(["low", "medium", "high"]),
        "due_date": f"2027-03-{sampler.randint(1, 28):02}T18:00:00+01:00",
    }
    return build_request("POST", "/api/tasks", name, fields)


def update(sampler: Sampler) -> bytes:
    """Update a task's title and priority."""
    name, path = sampler.task()
    fields = {"title": f"Buy {sampler.randint(2, 99)} pears instead", "priority": "high"}
    return build_request("PUT", path, name, fields)


def toggle(sampler: Sampler) -> bytes:
    """Toggle whether a task is completed."""
    name, path = sampler.task()
    return build_request("PATCH", f"{path}/complete", name)


def list_of(tasks: int, query: str = "") -> RequestBuilder:
    """Return a builder that lists the tasks of the user with this number of tasks."""
    return lambda _sampler: build_request("GET", f"/api/tasks{query}", user_with(tasks))


def list_regular(sampler: Sampler) -> bytes:
    """List the tasks of a regular user."""
    return build_request("GET", "/api/tasks", sampler.user())


def list_pending(sampler: Sampler) -> bytes:
    """List the pending tasks of a regular user, sorted by title."""
    return build_request("GET", "/api/tasks?status=pending&sort=title", sampler.user())


def mixed(sampler: Sampler) -> bytes:
    """Read in 80 % of requests, write in 20 %."""
    (build,) = sampler.choices(
        (get, list_of(20), create, update, toggle), weights=(50, 30, 8, 6, 6)
    )
    return build(sampler)


SCENARIOS = (
    Scenario("get", "get one", get),
    Scenario("create", "create", create, writes=True),
    Scenario("update", "update", update, writes=True),
    Scenario("toggle", "toggle", toggle, writes=True),
    Scenario("list-20", "list of 20", list_of(20), distinct=1),
    Scenario("list-100", "list of 100", list_regular),
    Scenario(
        "list-10000",
        "list of 10,000",
        list_of(10_000),
        connections=FEW_CONNECTIONS,
        distinct=1,
    ),
    Scenario("poll-100", "poll of 100", list_regular, distinct=100, polls="list-100"),
    Scenario("poll-10000", "poll of 10,000", list_of(10_000), distinct=1, polls="list-10000"),
    Scenario("pending", "pending by title", list_pending),
    Scenario("mix", "80 % reads", mixed, writes=True),
)
