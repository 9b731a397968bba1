"""A client for the key set that Better Auth publishes, refreshed in the background.

One task does all fetching: there is never more than one fetch at a time, nor more than one
in `PAUSE` seconds, whatever tokens are sent. Known keys stay valid while the endpoint does
not respond; a key that is no longer published is valid until the next fetch. (PyJWKClient
blocks the event loop, and fails for known keys, too, when the endpoint is down.)
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from ssl import SSLContext
from typing import Any

import httpx
import jwt

from handlers.auth.key_set import PUBLISHED_ALGORITHMS, KeySet

FETCH_TIMEOUT = 3  # seconds
MAX_BYTES = 65_536
PAUSE = 2  # seconds
REFRESH_INTERVAL = 60  # seconds
# A fetch under way, a pause, the next fetch, and some margin.
KEY_WAIT = 2 * FETCH_TIMEOUT + PAUSE + 2
MAX_WAITING = 100  # requests; their connections are not closed in favour of others

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a small compressed response may decompress to a large one
    "User-Agent": "todo-api",
}

logger = logging.getLogger("todo.auth")


class KeysUnavailable(Exception):
    """Whether a token is valid cannot be determined now; a retry may succeed."""

    retry_after = PAUSE


class JWKSClient:
    """The keys published at one URL."""

    def __init__(self, url: str) -> None:
        """Do no I/O until `running` is entered."""
        self.version = 0
        self.failures = 0
        """Fetches that have failed since the start."""
        self._url = url
        self._text: bytes | None = None
        self._keys: KeySet | None = None
        self._failing = True  # until `running` is entered
        self._refresh_wanted = asyncio.Event()
        self._started = self._finished = 0  # numbers of fetches
        self._fetch_finished = asyncio.Event()
        self._waiting = 0
        # SSL_CERT_FILE and SSL_CERT_DIR may name private certificate authorities.
        self._tls = httpx.create_ssl_context()

    @property
    def fetches(self) -> int:
        """How many fetches have ended since the start."""
        return self._finished

    async def keys_for(self, header: Mapping[str, Any]) -> Sequence[jwt.PyJWK]:
        """Return the one key for a token by its header, after another fetch if necessary.

        Raises jwt.InvalidKeyError if there is none, KeysUnavailable if that is unknown.
        """
        if header.get("alg") not in PUBLISHED_ALGORITHMS:
            raise jwt.InvalidKeyError
        key = self._find(header)
        if key is not None:
            return (key,)
        refreshed = await self._wait_for_refresh()
        key = self._find(header)
        if key is not None:
            return (key,)
        raise jwt.InvalidKeyError if refreshed else KeysUnavailable

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch the keys, and refresh them until the context exits."""
        self._failing = False
        task = asyncio.create_task(self._refresh_loop())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _find(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        return self._keys.find(header) if self._keys is not None else None

    async def _wait_for_refresh(self) -> bool:
        """Wait for a fetch that starts from now on.

        Return at once while fetches fail, or if too many wait already. Returns whether there
        was a fetch, and it succeeded.
        """
        if self._waiting == MAX_WAITING:
            return False
        started = self._started
        self._waiting += 1
        try:
            async with asyncio.timeout(KEY_WAIT):
                while self._finished <= started and not self._failing:
                    self._refresh_wanted.set()
                    await self._fetch_finished.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return self._finished > started and not self._failing

    async def _refresh_loop(self) -> None:
        while True:
            self._refresh_wanted.clear()
            self._started += 1
            await self._refresh()
            self._finished = self._started
            self._fetch_finished.set()
            self._fetch_finished = asyncio.Event()
            await asyncio.sleep(PAUSE)
            if not self._failing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._refresh_wanted.wait(), REFRESH_INTERVAL - PAUSE
                    )

    async def _refresh(self) -> None:
        """Fetch the keys once; a failure keeps those that are known."""
        try:
            text = await _fetch(self._url, self._tls)
            if text != self._text:
                self._keys = await asyncio.to_thread(KeySet, text)
                self._text = text
                self.version += 1
                logger.info("Better Auth publishes %d keys at %s.", len(self._keys), self._url)
        except Exception as error:  # noqa: BLE001 (an unexpected one must not end the loop)
            if not self._failing:
                reason = str(error) or type(error).__name__
                logger.warning("The keys at %s cannot be fetched: %s.", self._url, reason)
            self._failing = True
            self.failures += 1
        else:
            if self._failing:
                logger.info("The keys at %s can be fetched again.", self._url)
            self._failing = False


async def _fetch(url: str, tls: SSLContext) -> bytes:
    """Fetch a key set from exactly this URL, within limits of time and size.

    The environment cannot redirect the request: no proxy, no netrc. Raises httpx.HTTPError,
    TimeoutError, and ValueError for any status other than 200.
    """
    async with (
        asyncio.timeout(FETCH_TIMEOUT),
        httpx.AsyncClient(
            verify=tls, trust_env=False, follow_redirects=False, headers=HEADERS
        ) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code != httpx.codes.OK:
            msg = f"the response is {response.status_code}"
            raise ValueError(msg)
        text = b""
        async for chunk in response.aiter_raw():
            text += chunk
            if len(text) > MAX_BYTES:
                msg = f"the response is larger than {MAX_BYTES} bytes"
                raise ValueError(msg)
        return text
