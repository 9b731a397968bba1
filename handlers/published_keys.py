"""The keys that Better Auth publishes: fetched in the background, kept, and kept fresh.

One task fetches, and nobody else: there is never more than one fetch, nor more
than one in `PAUSE` seconds, whatever tokens ask for. Keys that are known stay
good while the address is silent; one that is no longer published is good until
the next fetch.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from ssl import SSLContext
from typing import Any

import httpx
import jwt

from handlers.key_set import PUBLISHED, KeySet

FETCH_SECONDS = 3
MAX_BYTES = 65_536
PAUSE = 2
REFRESH = 60
# A fetch that is under way, a pause, and the next fetch; and something to spare.
PATIENCE = 2 * FETCH_SECONDS + PAUSE + 2

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what is small when compressed need not be small
    "User-Agent": "todo-api",
}

logger = logging.getLogger("todo.keys")


class KeysUnavailable(Exception):
    """Nobody can tell now whether a token is good; trying again may help."""

    retry_after = PAUSE


class PublishedKeys:
    """The keys that are published at one address."""

    def __init__(self, url: str) -> None:
        """Know where to ask; nobody is asked before `kept` begins."""
        self.version = 0
        self._url = url
        self._text = b""
        self._keys: KeySet | None = None
        self._failing = True  # as long as nobody keeps them
        self._wanted = asyncio.Event()
        self._begun = self._ended = 0
        self._end = asyncio.Event()
        # SSL_CERT_FILE and SSL_CERT_DIR may name authorities of one's own.
        self._tls = httpx.create_ssl_context()

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Choose the key for a token by its header, if need be after another fetch.

        Raises jwt.InvalidKeyError if there is none, KeysUnavailable if nobody knows.
        """
        if header.get("alg") not in PUBLISHED:
            raise jwt.InvalidKeyError
        key = self._find(header)
        if key is None:
            await self._fetched_anew()
            key = self._find(header)
        if key is not None:
            return key
        if self._failing or self._keys is None:
            raise KeysUnavailable
        raise jwt.InvalidKeyError

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Fetch the keys, and keep them fresh for as long as this lasts."""
        self._failing = False
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    def _find(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        return self._keys.find(header) if self._keys is not None else None

    async def _fetched_anew(self) -> None:
        """Wait for a fetch that begins from now on; not while fetches fail."""
        begun = self._begun
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._ended <= begun and not self._failing:
                    self._wanted.set()
                    await self._end.wait()

    async def _keep(self) -> None:
        while True:
            self._wanted.clear()
            self._begun += 1
            await self._refresh()
            self._ended = self._begun
            self._end.set()
            self._end = asyncio.Event()
            await asyncio.sleep(PAUSE)
            if not self._failing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), REFRESH - PAUSE)

    async def _refresh(self) -> None:
        """Fetch the keys once; failing changes nothing about those that are known."""
        try:
            text = await _fetch(self._url, self._tls)
            if text != self._text:
                self._keys = await asyncio.to_thread(KeySet, text)
                self._text = text
                self.version += 1
                logger.info("Better Auth publishes %d keys at %s.", len(self._keys), self._url)
        except Exception as error:  # noqa: BLE001 (or keys would be kept for ever)
            if not self._failing:
                reason = str(error) or type(error).__name__
                logger.warning("The keys at %s cannot be had: %s.", self._url, reason)
            self._failing = True
        else:
            if self._failing:
                logger.info("The keys at %s can be had again.", self._url)
            self._failing = False


async def _fetch(url: str, tls: SSLContext) -> bytes:
    """Fetch a key set from exactly this address, in bounded time and size.

    Nothing in the environment leads elsewhere: no proxy, and no netrc. Raises
    httpx.HTTPError, TimeoutError, and ValueError for any other answer than 200.
    """
    async with (
        asyncio.timeout(FETCH_SECONDS),
        httpx.AsyncClient(
            verify=tls, trust_env=False, follow_redirects=False, headers=HEADERS
        ) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            msg = f"the answer is {answer.status_code}"
            raise ValueError(msg)
        text = b""
        async for chunk in answer.aiter_raw():
            text += chunk
            if len(text) > MAX_BYTES:
                msg = f"the answer is larger than {MAX_BYTES} bytes"
                raise ValueError(msg)
        return text
