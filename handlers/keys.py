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

        Raises jwt.InvalidKeyError if there is none.
        """


class SharedSecret:
    """One HS256 key: the secret shared with Better Auth, for every token."""

    version = 0

    def __init__(self, secret: bytes) -> None:
        """Take the secret as its bytes are."""
        self._key = jwt.PyJWK.from_dict(
            {"kty": "oct", "alg": "HS256", "k": base64url_encode(secret).decode()}
        )

    async def key_for(self, _header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the secret."""
        return self._key
