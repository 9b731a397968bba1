"""Authentication with limits: requests of each user, and invalid tokens from each address."""

from collections.abc import Container
from ipaddress import IPv6Network, ip_address

from starlette.types import Scope

from handlers.auth import BearerAuth, Forbidden
from handlers.auth.rate_limiter import RateLimiter, TooManyRequests
from handlers.auth.verifier import EXPIRED, MISSING, Claims, InvalidToken, Verifier


class TooManyInvalidTokens(TooManyRequests):
    """Too many invalid tokens were sent from the address of the client."""


class LimitedBearerAuth(BearerAuth):
    """`BearerAuth` that counts a user's requests, and the invalid tokens of an address.

    Each token is verified, also beyond the limit of its address: users share addresses, and
    nobody may lock others out by sending invalid tokens. Refusing them unseen would not stop
    a flood, either: verifying takes 30 to 80 µs (ES512: 300), any other response at least 25.
    """

    def __init__(
        self,
        verifier: Verifier,
        blocked: Container[str],
        *,
        requests: RateLimiter,
        invalid_tokens: RateLimiter,
    ) -> None:
        """Limit the requests of each user, and the invalid tokens from each address."""
        super().__init__(verifier, blocked)
        self._requests = requests
        self._invalid_tokens = invalid_tokens

    @property
    def refused(self) -> dict[str, int]:
        """How many requests were beyond each kind of limit."""
        return {each.name: each.refused for each in (self._requests, self._invalid_tokens)}

    async def bearer_auth(self, scope: Scope) -> Claims:
        """Return the claims of the bearer token; see `BearerAuth`.

        Raises TooManyRequests, too.
        """
        try:
            claims = await super().bearer_auth(scope)
        except Forbidden as error:
            await self._requests.hit(error.user, scope["state"]["headers"])
            raise
        except InvalidToken as error:
            # Frontends send a request to learn that nobody is signed in, or that a token has
            # expired; and an expired token was a valid one.
            if str(error) not in {MISSING, EXPIRED}:
                await self._count_invalid_token(scope)
            raise
        await self._requests.hit(claims["sub"], scope["state"]["headers"])
        return claims

    async def _count_invalid_token(self, scope: Scope) -> None:
        """Count an invalid token; no header tells what others at its address have sent."""
        try:
            await self._invalid_tokens.hit(client_network(scope), [])
        except TooManyRequests as error:
            raise TooManyInvalidTokens(error.retry_after) from None


def client_network(scope: Scope) -> str:
    """Return the address of the client, or its network if that is an IPv6 network of 64 bits.

    The addresses of an IPv6 network are all at the disposal of one client. Whatever is no
    address, such as a Unix socket, is one client.
    """
    try:
        address = ip_address(scope["client"][0])
    except (TypeError, ValueError):
        return "unknown"
    if address.version == 4:  # noqa: PLR2004
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed, 64), strict=False))
