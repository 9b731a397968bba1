"""What is asked: for each scenario a list of requests, ready to be sent."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import jwt
import orjson

from benchmarks.dataset import CROWD, EACH, crowd_member, single, task_id, user_id

SECRET = "a secret of the benchmarks, long enough for HS256"  # noqa: S105 (loopback only)
MANY = 5_000
"""Requests of a scenario before the first is repeated."""
CLIENTS = 100
"""Clients at the same time …"""
FEW = 4
"""… or no more than these where one answer takes long."""


class Chance(random.Random):
    """Chooses users and tasks, the same ones every time."""

    def __init__(self, seed: str, crowd: int) -> None:
        """Choose from a crowd of so many users."""
        super().__init__(seed)
        self.crowd = crowd

    def user(self) -> str:
        """Choose somebody of the crowd."""
        return crowd_member(self.randrange(self.crowd))

    def task(self) -> tuple[str, str]:
        """Choose a task of the crowd: whose it is, and its path."""
        name = self.user()
        return name, f"/api/tasks/{task_id(name, self.randint(1, EACH))}"


Ask = Callable[[Chance], bytes]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work."""

    key: str
    title: str
    ask: Ask
    """Writes one request, by chance."""
    writes: bool = False
    connections: int = CLIENTS
    distinct: int = MANY

    def requests(self, crowd: int = CROWD) -> list[bytes]:
        """Write all requests."""
        chance = Chance(self.key, crowd)
        return [self.ask(chance) for _ in range(self.distinct)]


@cache
def token(name: str) -> str:
    """Sign a token for a user, good for a day."""
    now = int(time.time())
    claims = {"sub": user_id(name), "iat": now, "exp": now + 86_400}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def request(
    method: str, path: str, name: str, fields: Mapping[str, str] | None = None
) -> bytes:
    """Write a request of a user's."""
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


def get_one(chance: Chance) -> bytes:
    """Read a task."""
    name, path = chance.task()
    return request("GET", path, name)


def create(chance: Chance) -> bytes:
    """Create a task."""
    name = chance.user()
    fields = {
        "title": f"Buy {chance.randint(2, 99)} apples, if they are good",
        "description": "Not the green ones; the others keep until Christmas",
        "priority": chance.choice(["low", "medium", "high"]),
        "due_date": f"2027-03-{chance.randint(1, 28):02}T18:00:00+01:00",
    }
    return request("POST", "/api/tasks", name, fields)


def update(chance: Chance) -> bytes:
    """Change a task's title and priority."""
    name, path = chance.task()
    fields = {"title": f"Buy {chance.randint(2, 99)} pears instead", "priority": "high"}
    return request("PUT", path, name, fields)


def toggle(chance: Chance) -> bytes:
    """Complete a task, or reopen it."""
    name, path = chance.task()
    return request("PATCH", f"{path}/complete", name)


def list_of(tasks: int, query: str = "") -> Ask:
    """List the tasks of the user who has so many."""
    return lambda _chance: request("GET", f"/api/tasks{query}", single(tasks))


def list_of_the_crowd(chance: Chance) -> bytes:
    """List the tasks of somebody of the crowd."""
    return request("GET", "/api/tasks", chance.user())


def pending_by_title(chance: Chance) -> bytes:
    """List what somebody of the crowd has still to do, by title."""
    name = chance.user()
    return request("GET", "/api/tasks?status=pending&sort=title", name)


def mixed(chance: Chance) -> bytes:
    """Read four times out of five."""
    (ask,) = chance.choices(
        (get_one, list_of(20), create, update, toggle), weights=(50, 30, 8, 6, 6)
    )
    return ask(chance)


SCENARIOS = (
    Scenario("get", "get one", get_one),
    Scenario("create", "create", create, writes=True),
    Scenario("update", "update", update, writes=True),
    Scenario("toggle", "toggle", toggle, writes=True),
    Scenario("list-20", "list of 20", list_of(20), distinct=1),
    Scenario("list-100", "list of 100", list_of_the_crowd),
    Scenario("list-10000", "list of 10,000", list_of(10_000), connections=FEW, distinct=1),
    Scenario("pending", "pending by title", pending_by_title),
    Scenario("mix", "80 % reads", mixed, writes=True),
)
