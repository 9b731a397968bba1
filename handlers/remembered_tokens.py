"""Tokens that have been verified already: a client sends the same one for minutes.

Verifying takes a third of the time that a read takes. What is remembered is good until
the token expires, and only as long as no key is withdrawn.
"""

import time
from collections import OrderedDict

from handlers.keys import Keys
from handlers.security import LEEWAY_SECONDS, Claims, Verifier

CAPACITY = 10_000
LONGEST = 4096  # characters; who sends longer ones has them verified every time


class RememberedTokens:
    """Verifies each token once."""

    def __init__(self, verifier: Verifier, keys: Keys, *, capacity: int = CAPACITY) -> None:
        """Remember up to `capacity` tokens that the verifier accepts, with these keys."""
        self._verifier = verifier
        self._keys = keys
        self._capacity = capacity
        self._version = keys.version
        self._claims: OrderedDict[str, Claims] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; raises what the verifier raises."""
        claims = self._current().get(token)
        # As PyJWT decides; the other instants only ever lie further in the past.
        if claims is not None and int(claims["exp"]) > time.time() - LEEWAY_SECONDS:
            return claims
        claims = await self._verifier.verify(token)
        if len(token) <= LONGEST:
            remembered = self._current()
            remembered[token] = claims
            if len(remembered) > self._capacity:
                remembered.popitem(last=False)
        return claims

    def _current(self) -> OrderedDict[str, Claims]:
        if self._version != self._keys.version:
            self._version = self._keys.version
            self._claims.clear()
        return self._claims
