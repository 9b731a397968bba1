"""A cache of verified tokens: a client sends the same one for minutes.

Verification takes a third of the time of a read. An entry is valid until the token expires,
and only as long as no key is withdrawn.
"""

import time
from collections import OrderedDict

from handlers.auth.keys import Keys
from handlers.auth.verifier import LEEWAY_SECONDS, Claims, Verifier

CAPACITY = 10_000
MAX_CACHED_TOKEN = 4096
"""Characters; longer tokens are verified every time."""


class TokenCache:
    """A verifier with a cache: the least recently used token is evicted first."""

    def __init__(self, verifier: Verifier, keys: Keys, *, capacity: int = CAPACITY) -> None:
        """Cache up to `capacity` tokens that `verifier` accepts with these keys."""
        self._verifier = verifier
        self._keys = keys
        self._capacity = capacity
        self.hits = 0
        self.misses = 0
        self._version = keys.version
        self._claims: OrderedDict[str, Claims] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; raises what the verifier raises."""
        cache = self._current_cache()
        claims = cache.get(token)
        # As PyJWT decides; `nbf` and `iat` only ever recede further into the past.
        if claims is not None and int(claims["exp"]) > time.time() - LEEWAY_SECONDS:
            cache.move_to_end(token)
            self.hits += 1
            return claims
        self.misses += 1
        claims = await self._verifier.verify(token)
        if len(token) <= MAX_CACHED_TOKEN:
            cache = self._current_cache()
            cache[token] = claims
            if len(cache) > self._capacity:
                cache.popitem(last=False)
        return claims

    def _current_cache(self) -> OrderedDict[str, Claims]:
        if self._version != self._keys.version:
            self._version = self._keys.version
            self._claims.clear()
        return self._claims
