"""The keys that verify tokens: the shared secrets, and those that Better Auth publishes.

A key has one algorithm, and is never used with another, whatever the header of a token says
(RFC 8725, 3.1).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt
from jwt.utils import base64url_encode


class Keys(Protocol):
    """A source of verification keys."""

    @property
    def version(self) -> int:
        """Changes when a key is withdrawn: what was verified before must be verified again."""

    async def keys_for(self, header: Mapping[str, Any]) -> Sequence[jwt.PyJWK]:
        """Return the keys that may have signed a token with this header, the likeliest first.

        Raises jwt.InvalidKeyError if there is none, KeysUnavailable if that is unknown.
        """


class SharedSecrets:
    """HS256 keys: the secret shared with Better Auth, and the one before it."""

    version = 0

    def __init__(self, *secrets: bytes) -> None:
        """Use the bytes of each secret as a key, the current one first."""
        self._keys = tuple(
            jwt.PyJWK.from_dict(
                {"kty": "oct", "alg": "HS256", "k": base64url_encode(secret).decode()}
            )
            for secret in secrets
        )

    async def keys_for(self, header: Mapping[str, Any]) -> Sequence[jwt.PyJWK]:
        """Return the secrets for HS256; raises jwt.InvalidKeyError for everything else."""
        if header.get("alg") != "HS256":
            raise jwt.InvalidKeyError
        return self._keys


class KeyRing:
    """The shared secrets for HS256, and published keys for every other algorithm."""

    def __init__(self, secrets: Keys, published: Keys) -> None:
        """Combine two sources of keys."""
        self._secrets = secrets
        self._published = published

    @property
    def version(self) -> int:
        """The version of the published keys; the secrets never change."""
        return self._published.version

    async def keys_for(self, header: Mapping[str, Any]) -> Sequence[jwt.PyJWK]:
        """Choose the source by the algorithm; raises what that source raises."""
        keys = self._secrets if header.get("alg") == "HS256" else self._published
        return await keys.keys_for(header)
