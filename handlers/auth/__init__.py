"""The contract's `bearerAuth`: the security function that identifies the caller."""

from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any

from connexion.security import AbstractSecurityHandler
from starlette.types import Scope

from handlers.auth.verifier import MALFORMED, MISSING, Claims, InvalidToken, Verifier


class Forbidden(Exception):
    """The token is valid, but the path names another user."""

    def __init__(self, user: str) -> None:
        """Remember the user of the token."""
        super().__init__()
        self.user = user


class UserBlocked(Exception):
    """The token is valid, but the operator has blocked its user."""


class BearerAuth(AbstractSecurityHandler):  # type: ignore[misc]  # Connexion is untyped
    """The security handler for HTTP bearer authentication (RFC 6750)."""

    def __init__(self, verifier: Verifier, blocked: Container[str]) -> None:
        """Accept the tokens that `verifier` accepts, unless their users are `blocked`."""
        self._verifier = verifier
        self._blocked = blocked

    @property
    def refused(self) -> dict[str, int]:
        """How many requests were beyond each kind of limit: here, there is none."""
        return {}

    def get_fn(
        self, _scheme: dict[str, Any], _scopes: list[str]
    ) -> Callable[[Scope], Awaitable[Claims]]:
        """Return the security function; Connexion calls this once per operation."""
        return self.bearer_auth

    async def bearer_auth(self, scope: Scope) -> Claims:
        """Return the claims of the bearer token of a request; `sub` is the user's id.

        Takes the ASGI scope, since making Connexion's request object of it takes longer
        than looking up a cached token. Raises InvalidToken, KeysUnavailable, UserBlocked, and
        Forbidden if the path names another user.
        """
        claims = await self._verifier.verify(bearer_token(scope["headers"]))
        user = claims["sub"]
        if user in self._blocked:
            raise UserBlocked
        path_user = scope["state"]["path_user"]
        if path_user is not None and path_user != user:
            raise Forbidden(user)
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
