"""Who is asking: a token goes in, its claims come out. No database, no state."""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import jwt
from connexion.lifecycle import ConnexionRequest
from connexion.security import AbstractSecurityHandler
from starlette.types import Scope

from handlers.keys import Keys
from models.errors import NotYours

LEEWAY_SECONDS = 10
MAX_SUBJECT = 255
# Node's limit for all headers together. Verifying takes time in proportion,
# and everybody else waits for it, though nobody knows yet who is asking.
MAX_TOKEN = 16_384

MISSING = "The token is missing."
MALFORMED = "The token is malformed."
EXPIRED = "The token has expired."
INVALID = "The token is invalid."

# JWS compact serialisation (RFC 7515, 7.1). PyJWT's decoder skips characters
# outside the alphabet, which would let one token be written in many ways.
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

Claims = dict[str, Any]


class InvalidToken(Exception):
    """The token is not accepted; the text says missing, malformed, expired or invalid."""

    @property
    def challenge(self) -> str:
        """The value of `WWW-Authenticate` (RFC 6750, 3)."""
        return f'Bearer error="invalid_token", error_description="{self}"'


class Verifier(Protocol):
    """Who says whether a token is good."""

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; `sub` is the user's id, whichever claim named it.

        Raises InvalidToken, and KeysUnavailable.
        """


class TokenVerifier:
    """Verifies JSON Web Tokens (RFC 7519) as RFC 8725 advises."""

    def __init__(
        self,
        keys: Keys,
        *,
        user_claim: Sequence[str] = ("sub",),
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        """Find the user's id where `user_claim` leads, from object to object.

        `iss` and `aud` are checked only where an issuer and an audience are given.
        """
        self._keys = keys
        self._user_claim = user_claim
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token, as a Verifier does."""
        if len(token) > MAX_TOKEN or not COMPACT_JWS.fullmatch(token):
            raise InvalidToken(MALFORMED)
        try:
            key = await self._keys.key_for(jwt.get_unverified_header(token))
            claims = self._decode(token, key)
        except jwt.ExpiredSignatureError:
            raise InvalidToken(EXPIRED) from None
        except jwt.InvalidSignatureError:
            raise InvalidToken(INVALID) from None
        except jwt.DecodeError:
            raise InvalidToken(MALFORMED) from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            # PyJWT parses numbers and nesting of any size before it looks.
            raise InvalidToken(INVALID) from None
        instants = (claims.get(name, 0) for name in ("exp", "nbf", "iat"))
        user = claim_at(self._user_claim, claims)
        if not is_user_id(user) or not all(map(is_instant, instants)):
            raise InvalidToken(INVALID)
        return claims | {"sub": user}

    def _decode(self, token: str, key: jwt.PyJWK) -> Claims:
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


class BearerAuth(AbstractSecurityHandler):  # type: ignore[misc]  # Connexion is untyped
    """The contract's `bearerAuth` security scheme."""

    def __init__(self, verifier: Verifier) -> None:
        """Let the verifier decide about tokens."""
        self._verifier = verifier

    def get_fn(
        self, _scheme: dict[str, Any], _scopes: list[str]
    ) -> Callable[[ConnexionRequest], Awaitable[Claims]]:
        """Give Connexion the security function, once per operation."""
        return self.bearer_auth

    async def bearer_auth(self, request: ConnexionRequest) -> Claims:
        """Return the claims of the request's bearer token, as `authenticate` does."""
        return await self.authenticate(request.scope)

    async def authenticate(self, scope: Scope) -> Claims:
        """Return the claims of the bearer token of an ASGI request.

        Raises InvalidToken, KeysUnavailable, and NotYours where the path names
        another user.
        """
        claims = await self._verifier.verify(bearer_token(scope["headers"]))
        path_user = scope["state"]["path_user"]
        if path_user is not None and path_user != claims["sub"]:
            raise NotYours
        return claims


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the token of the `Authorization` header (RFC 6750, 2.1), unverified.

    Raises InvalidToken if there is none, or more than one header.
    """
    credentials = None
    for name, value in headers:
        if name == b"authorization":
            if credentials is not None:
                raise InvalidToken(MALFORMED)
            credentials = value
    if credentials is None:
        raise InvalidToken(MISSING)
    scheme, _, token = credentials.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidToken(MISSING)
    return token.strip(" ")


def claim_at(path: Sequence[str], claims: object) -> object:
    """Return the claim to which a path leads; None if there is none."""
    for name in path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def is_user_id(subject: object) -> bool:
    """Tell whether a claim can name a user: 1 to 255 characters, none for control."""
    return (
        isinstance(subject, str)
        and 1 <= len(subject) <= MAX_SUBJECT
        and not any(unicodedata.category(c) in {"Cc", "Cs"} for c in subject)
    )


def is_instant(value: object) -> bool:
    """Tell whether a claim is a NumericDate (RFC 7519, 2); PyJWT takes `"1"` and `true` too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
