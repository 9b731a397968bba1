"""Verification of JSON Web Tokens (RFC 7519), as RFC 8725 advises."""

import contextlib
import logging
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol

import jwt

from handlers.auth.keys import Keys

LEEWAY_SECONDS = 10
MAX_SUBJECT = 255
# Node's limit for all headers together. The time that verification takes is proportional to
# the length, and the event loop is blocked meanwhile, for a caller that is still unknown.
MAX_TOKEN = 16_384

MISSING = "The token is missing."
MALFORMED = "The token is malformed."
EXPIRED = "The token has expired."
INVALID = "The token is invalid."

# JWS compact serialisation (RFC 7515, 7.1). PyJWT's decoder skips characters outside the
# alphabet, so that one token could be written in many ways.
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

Claims = dict[str, Any]

logger = logging.getLogger("todo.auth")


class InvalidToken(Exception):
    """The token is not accepted; the text says missing, malformed, expired or invalid."""

    @property
    def challenge(self) -> str:
        """The value of `WWW-Authenticate` (RFC 6750, 3).

        Without credentials, there is no error to report (3.1).
        """
        if str(self) == MISSING:
            return "Bearer"
        return f'Bearer error="invalid_token", error_description="{self}"'


class Verifier(Protocol):
    """What decides whether a token is accepted."""

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; `sub` is the user's id, whichever claim has it.

        Raises InvalidToken, and KeysUnavailable.
        """


class TokenVerifier:
    """Verifies the signature and the claims of a token."""

    def __init__(
        self,
        keys: Keys,
        *,
        user_claims: Sequence[Sequence[str]] = (("sub",),),
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        """Take the user's id from the first of `user_claims` that a token has.

        Each is a path through nested objects.
        `iss` and `aud` are checked only if an issuer and an audience are given.
        """
        self._keys = keys
        self._user_claims = user_claims
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; see `Verifier`."""
        if len(token) > MAX_TOKEN or not COMPACT_JWS.fullmatch(token):
            raise InvalidToken(MALFORMED)
        try:
            keys = await self._keys.keys_for(jwt.get_unverified_header(token))
            claims = self._decode(token, keys)
        except jwt.ExpiredSignatureError:
            raise InvalidToken(EXPIRED) from None
        except jwt.InvalidSignatureError:
            raise InvalidToken(INVALID) from None
        except jwt.DecodeError:
            raise InvalidToken(MALFORMED) from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            # PyJWT parses numbers and nesting of any size before it checks anything.
            raise InvalidToken(INVALID) from None
        instants = (claims.get(name, 0) for name in ("exp", "nbf", "iat"))
        if not all(map(is_numeric_date, instants)):
            raise InvalidToken(INVALID)
        found = (claim_at(path, claims) for path in self._user_claims)
        user = next((claim for claim in found if claim is not None), None)
        if not is_user_id(user):
            names = ", ".join(".".join(path) for path in self._user_claims)
            logger.warning("A token with a valid signature names no user by a claim %s.", names)
            raise InvalidToken(INVALID)
        return claims | {"sub": user}

    def _decode(self, token: str, keys: Sequence[jwt.PyJWK]) -> Claims:
        """Decode a token with whichever key has signed it. Raises jwt.PyJWTError."""
        *others, last = keys
        for key in others:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return self._decode_with(key, token)
        return self._decode_with(last, token)

    def _decode_with(self, key: jwt.PyJWK, token: str) -> Claims:
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            options={
                "require": ["exp"],
                "verify_iss": self._issuer is not None,
                "verify_aud": self._audience is not None,
            },
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
        )


def claim_at(path: Sequence[str], claims: object) -> object:
    """Return the claim at a path through nested objects; None if there is none."""
    for name in path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def is_user_id(subject: object) -> bool:
    """Return whether a claim can be a user id: 1 to 255 characters, no control characters."""
    return (
        isinstance(subject, str)
        and 1 <= len(subject) <= MAX_SUBJECT
        and not any(unicodedata.category(c) in {"Cc", "Cs"} for c in subject)
    )


def is_numeric_date(value: object) -> bool:
    """Return whether a claim is a NumericDate (RFC 7519, 2).

    PyJWT accepts `"1"` and `true`, too.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
