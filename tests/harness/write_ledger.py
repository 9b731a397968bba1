"""Concurrent writes under load, and a check that no acknowledged write is lost."""

import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

import httpx

from harness.clients import AuthedClient, new_user_id
from harness.postgres import TIMEOUT_SECONDS

PACE = 0.01  # seconds between two writes of a client, or they would slow down what they test
PAUSE = 0.02  # seconds after a failed write, which avoids thousands of failures
MAX_RECOVERY = 5.0  # seconds
CHANGED = " (changed)"


class WriteLedger:
    """Clients that create tasks and change each once, until exit."""

    def __init__(
        self,
        url: str,
        writers: int = 4,
        users: int | None = None,
        *,
        service_may_die: bool = False,
    ) -> None:
        """Expect 2xx, or 503 with Retry-After; lost connections only if `service_may_die`.

        Each writer is a user, unless there are fewer `users`.
        """
        self.counts: Counter[int | str] = Counter()
        self.unexpected: list[str] = []
        self._service_may_die = service_may_die
        self._users = [new_user_id() for _ in range(users or writers)]
        self._clients = [
            AuthedClient(url, user) for user, _ in zip(cycle(self._users), range(writers))
        ]
        self._tried: set[str] = set()
        self._titles: dict[str, set[str]] = {}  # by task id: the titles it may have now
        self._acknowledged = dict.fromkeys(self._clients, 0)
        self._lock = Lock()
        self._over = Event()
        self._threads = [
            Thread(target=self._write, args=[number], daemon=True) for number in range(writers)
        ]

    def __enter__(self) -> Self:
        """Start writing; return when each client has had writes acknowledged."""
        for thread in self._threads:
            thread.start()
        self.wait_for_acknowledgements()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop writing; fails if a client hangs."""
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"
        for client in self._clients:
            client.close()

    def wait_for_acknowledgements(self, number: int = 5) -> None:
        """Wait until each client has had `number` more writes acknowledged."""
        goals = {client: count + number for client, count in self._acknowledged.items()}
        self._wait(
            lambda: all(self._acknowledged[client] >= goal for client, goal in goals.items())
        )

    def check_recovery(self, fault: str, since: float | None = None) -> None:
        """Wait until every client has had a write acknowledged, in time after a fault.

        The time begins now, or at `since` by the monotonic clock. `pytest -rP` shows it.
        """
        since = since or time.monotonic()
        self.wait_for_acknowledgements(1)
        seconds = time.monotonic() - since
        print(f"{fault}: {dict(self.counts)}, recovered in {seconds:.1f} s")
        assert seconds < MAX_RECOVERY

    def wait_for(self, outcome: int | str, number: int = 10) -> None:
        """Wait until `number` more writes have had this outcome."""
        goal = self.counts[outcome] + number
        self._wait(lambda: self.counts[outcome] >= goal)

    def verify(self, url: str) -> None:
        """Fail if an acknowledged write is lost, or another task is stored."""
        assert self.unexpected == []
        stored: dict[str, str] = {}
        with ExitStack() as stack:
            for user in self._users:
                client = stack.enter_context(AuthedClient(url, user))
                stored |= {task["id"]: task["title"] for task in client.list_tasks()}
        lost = self._titles.keys() - stored.keys()
        assert not lost, f"{len(lost)} of {len(self._titles)} acknowledged writes are lost"
        for task_id, titles in self._titles.items():
            assert stored[task_id] in titles, (stored[task_id], titles)
        originals = [title.removesuffix(CHANGED) for title in stored.values()]
        assert len(originals) == len(set(originals)), "a task was stored twice"
        assert set(originals) <= self._tried

    def _write(self, writer: int) -> None:
        client = self._clients[writer]
        number = 0
        while not self._over.is_set():
            number += 1
            title = f"{client.id} {writer} {number}"
            self._tried.add(title)
            task = self._send(client, 201, "POST", "/api/tasks", title)
            if task is None:
                continue
            titles = self._titles[task["id"]] = {title, title + CHANGED}
            if self._send(client, 200, "PUT", f"/api/tasks/{task['id']}", title + CHANGED):
                titles.remove(title)

    def _send(self, client: AuthedClient, good: int, method: str, path: str, title: str) -> Any:
        """Send one write; return the response body, or None if it was not acknowledged."""
        outcome: int | str
        self._over.wait(PACE)
        try:
            response = client.request(method, path, json={"title": title})
        except httpx.TimeoutException:
            outcome, problem = "hung", f"{method} hung"
        except httpx.TransportError as error:
            outcome, problem = "broken", "" if self._service_may_die else repr(error)
        except Exception as error:  # noqa: BLE001 (a contract violation; `verify` reports it)
            outcome, problem = "strange", repr(error)
        else:
            outcome, problem = response.status_code, _problem(response, good)
        with self._lock:
            self.counts[outcome] += 1
            if problem:
                self.unexpected.append(problem)
        if outcome != good:
            self._over.wait(PAUSE)
            return None
        self._acknowledged[client] += 1
        task = response.json()
        if task["user_id"] != client.id:
            self.unexpected.append(f"{client.id} got a task of {task['user_id']}")
        return task

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.counts, self.unexpected[:3])
            assert not self.unexpected, self.unexpected[:3]
            time.sleep(PAUSE)


def _problem(response: httpx.Response, good: int) -> str:
    """Describe an unexpected response; return an empty text for success and a valid 503."""
    later = re.fullmatch("[1-9][0-9]*", response.headers.get("retry-after", ""))
    if response.status_code == good or (response.status_code == 503 and later):
        return ""
    return f"{response.status_code} {response.headers} {response.text[:500]}"
