"""Keeps links to PostgreSQL up: opens what is missing, and knows when the database is away."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from models.errors import NotConnected, Unavailable
from models.link import Link
from models.session import Refused, connect
from models.whereabouts import whereabouts

_log = logging.getLogger(__name__)

_GLANCE = 0.25  # seconds between two looks around
_FIRST_PAUSE = 0.1  # seconds between two attempts; twice as many after each that fails …
_PAUSE = 0.4  # … up to this while the database is away, so that it is found again soon …
_LONG_PAUSE = 5.0  # … and to this while it serves, but lets no more in
_PREPARATION_LIMIT = 5.0  # seconds


class Keeper:
    """A number of links. One task opens those that are missing, one after the other.

    If that fails while there is no link at all, the database is away, until there is one.
    """

    def __init__(
        self,
        url: str,
        size: int,
        *,
        silence: float,
        prepare: Callable[[Link], Awaitable[None]],
        on_room: Callable[[Link], None],
        on_away: Callable[[], None],
    ) -> None:
        """Plan for `size` links, each of which is lost after `silence` seconds of it.

        `prepare` gets a new link ready; it may raise Unavailable. `on_room` is called
        whenever a link is new or a trip returns, `on_away` when the database is away.
        """
        self.links: list[Link] = []
        self.away = True
        self._url = url
        self._size = size
        self._silence = silence
        self._prepare = prepare
        self._on_room = on_room
        self._on_away = on_away
        self._loss = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, patience: float) -> None:
        """Connect, or raise NotConnected after `patience` seconds of trying."""
        deadline = time.monotonic() + patience
        while reason := await self._add_link():
            message = f"Cannot connect to {whereabouts(self._url)}: {reason}"
            if time.monotonic() > deadline:
                raise NotConnected(message)
            _log.warning("%s", message)
            await asyncio.sleep(_jittered(_PAUSE))
        while len(self.links) < self._size and await self._add_link() is None:
            pass
        self._tasks = [asyncio.create_task(work()) for work in (self._keep_up, self._watch)]

    async def close(self) -> None:
        """End all links, and with them the trips under way."""
        # Not kept any longer: with a cancelled task goes the connection that it was opening.
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        links, self.links = self.links, []
        for link in links:
            link.close("the service ends")

    async def _keep_up(self) -> None:
        """Open links whenever some are missing."""
        failures = 0
        while True:
            self._loss.clear()
            if len(self.links) == self._size:
                await self._loss.wait()
            was_away = self.away
            reason = await self._add_link()
            if reason is None:
                failures = 0
                if was_away:
                    _log.warning("the database is back")
                continue
            failures += 1
            self._note(reason, failures)
            with suppress(TimeoutError):  # a loss is news, and worth an attempt
                async with asyncio.timeout(self._pause(failures)):
                    await self._loss.wait()

    def _note(self, reason: str, failures: int) -> None:
        if not self.links and not self.away:
            _log.error("the database is away: %s", reason)
            self.away = True
            self._on_away()
        elif failures == 1:
            _log.warning("%d of %d connections: %s", len(self.links), self._size, reason)

    def _pause(self, failures: int) -> float:
        longest = _LONG_PAUSE if self.links else _PAUSE
        # Jittered, so that the processes of a service don't all knock at once.
        return _jittered(min(longest, _FIRST_PAUSE * 2 ** min(failures, 10)))

    async def _add_link(self) -> str | None:
        """Open one more link; returns the reason if there is none."""
        try:
            session = await connect(self._url)
        except Refused as refusal:
            return str(refusal)
        link = Link(session, silence=self._silence, on_loss=self._lose)
        try:
            async with asyncio.timeout(_PREPARATION_LIMIT):
                await self._prepare(link)
        except BaseException as error:
            link.close("it could not be prepared")
            if isinstance(error, Unavailable | TimeoutError):
                return "a new connection ended, or gave no answer"
            raise
        link.on_return = self._on_room
        self.links.append(link)
        self.away = False
        self._on_room(link)
        return None

    def _lose(self, link: Link, reason: str) -> None:
        # At once: nobody may be sent where nobody is.
        if link in self.links:
            self.links.remove(link)
            self._loss.set()
            _log.warning("connection lost: %s", reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_GLANCE)
            for link in list(self.links):
                link.look_around()


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1)  # noqa: S311 (no secret)
