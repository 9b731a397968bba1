"""The keys that verify tokens: the secret shared with Better Auth, and those it publishes.

A key carries its algorithm, and is never used with another, whatever a token's
header says (RFC 8725, 3.1).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jwt
from jwt.utils import base64url_encode


class Keys(Protocol):
    """Where the key for a token is found."""

    @property
    def version(self) -> int:
        """Changes when a key is withdrawn; what it has verified before is good no more."""

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Choose the key for a token by its header.

        Raises jwt.InvalidKeyError if there is none, KeysUnavailable if nobody knows.
        """


class SharedSecret:
    """One HS256 key: the secret shared with Better Auth."""

    version = 0

    def __init__(self, secret: bytes) -> None:
        """Take the secret as its bytes are."""
        self._key = jwt.PyJWK.from_dict(
            {"kty": "oct", "alg": "HS256", "k": base64url_encode(secret).decode()}
        )

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the secret for HS256; raises jwt.InvalidKeyError for everything else."""
        if header.get("alg") != "HS256":
            raise jwt.InvalidKeyError
        return self._key


class BothKinds:
    """The shared secret for HS256, and published keys for everything else."""

    def __init__(self, secret: Keys, published: Keys) -> None:
        """Ask either for the tokens that are its own."""
        self._secret = secret
        self._published = published

    @property
    def version(self) -> int:
        """Changes with the published keys."""
        return self._published.version

    async def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Choose by the algorithm; raises what either raises."""
        keys = self._secret if header.get("alg") == "HS256" else self._published
        return await keys.key_for(header)
