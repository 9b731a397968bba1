"""Writes by several people at once, and what came of each: nothing may get lost."""

import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

import httpx

from harness.clients import AuthedClient, new_user_id
from harness.postgres import TIMEOUT_SECONDS

PAUSE = 0.02  # seconds after a refusal: nobody learns more from a thousand of them
CHANGED = " (changed)"


class WriteLedger:
    """People who create tasks and change each once, for as long as this is entered."""

    def __init__(self, url: str, writers: int = 4, *, service_may_die: bool = False) -> None:
        """Accept 2xx, and 503 with Retry-After; broken connections only if said so."""
        self.counts: Counter[int | str] = Counter()
        self.unexpected: list[str] = []
        self._service_may_die = service_may_die
        self._people = [AuthedClient(url, new_user_id()) for _ in range(writers)]
        self._tried: set[str] = set()
        self._titles: dict[str, set[str]] = {}  # of an acknowledged task: what it may be now
        self._acknowledged = dict.fromkeys((client.id for client in self._people), 0)
        self._lock = Lock()
        self._over = Event()
        self._threads = [
            Thread(target=self._write, args=[client], daemon=True) for client in self._people
        ]

    def __enter__(self) -> Self:
        """Begin, and wait until everybody has written something."""
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
        """Come to an end; fails if somebody hangs."""
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "somebody hangs"
        for client in self._people:
            client.close()

    def wait_for_acknowledgements(self, number: int = 5) -> None:
        """Wait until each client has had so many more writes acknowledged."""
        goals = {who: count + number for who, count in self._acknowledged.items()}
        self._wait(lambda: all(self._acknowledged[who] >= goal for who, goal in goals.items()))

    def wait_for(self, outcome: int | str, number: int = 10) -> None:
        """Wait until so many more writes have come out like this."""
        goal = self.counts[outcome] + number
        self._wait(lambda: self.counts[outcome] >= goal)

    def verify(self, url: str) -> None:
        """Compare what is stored with what was acknowledged."""
        assert self.unexpected == []
        stored: dict[str, str] = {}
        with ExitStack() as people:
            for writer in self._people:
                client = people.enter_context(AuthedClient(url, writer.id))
                stored |= {task["id"]: task["title"] for task in client.list_tasks()}
        lost = self._titles.keys() - stored.keys()
        assert not lost, f"{len(lost)} of {len(self._titles)} acknowledged writes are lost"
        for task_id, titles in self._titles.items():
            assert stored[task_id] in titles, (stored[task_id], titles)
        originals = [title.removesuffix(CHANGED) for title in stored.values()]
        assert len(originals) == len(set(originals)), "something was stored twice"
        assert set(originals) <= self._tried

    def _write(self, client: AuthedClient) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            title = f"{client.id} {number}"
            self._tried.add(title)
            task = self._ask(client, 201, "POST", "/api/tasks", title)
            if task is None:
                continue
            titles = self._titles[task["id"]] = {title, title + CHANGED}
            if self._ask(client, 200, "PUT", f"/api/tasks/{task['id']}", title + CHANGED):
                titles.remove(title)

    def _ask(self, client: AuthedClient, good: int, method: str, path: str, title: str) -> Any:
        """Send one write; return what is answered, or None if it wasn't acknowledged."""
        outcome: int | str
        try:
            response = client.request(method, path, json={"title": title})
        except httpx.TimeoutException:
            outcome, surprise = "hung", f"{method} hung"
        except httpx.TransportError as error:
            outcome, surprise = "broken", "" if self._service_may_die else repr(error)
        except Exception as error:  # noqa: BLE001 (the contract was broken; `verify` says so)
            outcome, surprise = "strange", repr(error)
        else:
            outcome, surprise = response.status_code, _surprise(response, good)
        with self._lock:
            self.counts[outcome] += 1
            if surprise:
                self.unexpected.append(surprise)
        if outcome != good:
            self._over.wait(PAUSE)
            return None
        self._acknowledged[client.id] += 1
        return response.json()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.counts, self.unexpected[:3])
            assert not self.unexpected, self.unexpected[:3]
            time.sleep(PAUSE)


def _surprise(response: httpx.Response, good: int) -> str:
    """Say what is wrong with an answer; nothing if it is good or asks to come back later."""
    later = re.fullmatch("[1-9][0-9]*", response.headers.get("retry-after", ""))
    if response.status_code == good or (response.status_code == 503 and later):
        return ""
    return f"{response.status_code} {response.headers} {response.text[:500]}"
