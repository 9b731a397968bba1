"""The keys that verify tokens: the shared secret, and those that Better Auth publishes.

A key has one algorithm, and is never used with another, whatever the header of a token says
(RFC 8725, 3.1).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jwt
from jwt.utils import base64url_encode


class Keys(Protocol):
    """A source of verification keys."""

    @property
    def version(self) -> int:
        """Changes when a key is withdrawn: what was verified before must be verified again."""

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key for a token by its header.

        Raises jwt.InvalidKeyError if there is none, KeysUnavailable if that is unknown.
        """


class SharedSecret:
    """One HS256 key: the secret shared with Better Auth."""

    version = 0

    def __init__(self, secret: bytes) -> None:
        """Use the bytes of the secret as the key."""
        self._key = jwt.PyJWK.from_dict(
            {"kty": "oct", "alg": "HS256", "k": base64url_encode(secret).decode()}
        )

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the secret for HS256; raises jwt.InvalidKeyError for everything else."""
        if header.get("alg") != "HS256":
            raise jwt.InvalidKeyError
        return self._key


class KeyRing:
    """The shared secret for HS256, and published keys for every other algorithm."""

    def __init__(self, secret: Keys, published: Keys) -> None:
        """Combine two sources of keys."""
        self._secret = secret
        self._published = published

    @property
    def version(self) -> int:
        """The version of the published keys; the secret never changes."""
        return self._published.version

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Choose the source by the algorithm; raises what that source raises."""
        keys = self._secret if header.get("alg") == "HS256" else self._published
        return await keys.key_for(header)
