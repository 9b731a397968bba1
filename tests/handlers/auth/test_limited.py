"""Authentication with limits: which requests and which tokens count, and for whom."""

from typing import Any

import pytest

from handlers.auth import Forbidden
from handlers.auth.counters import MemoryCounters
from handlers.auth.limited import LimitedBearerAuth, TooManyInvalidTokens
from handlers.auth.rate_limiter import RateLimiter, TooManyRequests
from handlers.auth.verifier import EXPIRED, INVALID, MALFORMED, Claims, InvalidToken

pytestmark = pytest.mark.anyio

DAY = 86_400
ADDRESS = "203.0.113.7"
REASONS = {"expired": EXPIRED, "invalid": INVALID, "malformed": MALFORMED}


class Verifier:
    """Accepts every token but those of REASONS."""

    async def verify(self, token: str) -> Claims:
        if token in REASONS:
            raise InvalidToken(REASONS[token])
        return {"sub": token}


@pytest.fixture
def auth() -> LimitedBearerAuth:
    """Allow two requests of a user a day, and one invalid token from an address."""
    counters = MemoryCounters()
    return LimitedBearerAuth(
        Verifier(),
        (),
        requests=RateLimiter("requests", [(2, DAY)], counters),
        invalid_tokens=RateLimiter("invalid_tokens", [(1, DAY)], counters),
    )


async def request(
    auth: LimitedBearerAuth,
    token: str | None,
    address: str = ADDRESS,
    path_user: str | None = None,
) -> list[bytes]:
    """Authenticate a request; return the names of the headers that the response gets."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    added: list[tuple[bytes, bytes]] = []
    state: dict[str, Any] = {"headers": added, "path_user": path_user}
    scope = {"type": "http", "headers": headers, "client": (address, 1), "state": state}
    try:
        assert (await auth.bearer_auth(scope))["sub"] == token
    except (InvalidToken, TooManyInvalidTokens):
        assert added == []  # what others at the address have sent is not told
        raise
    return [name for name, _ in added]


async def test_requests_count_for_their_user(auth: LimitedBearerAuth) -> None:
    for _ in range(2):
        assert await request(auth, "alice") == [b"ratelimit", b"ratelimit-policy"]
    with pytest.raises(TooManyRequests) as refused:
        await request(auth, "alice")
    assert not isinstance(refused.value, TooManyInvalidTokens)
    await request(auth, "bob")
    assert auth.refused == {"requests": 1, "invalid_tokens": 0}


async def test_requests_for_the_path_of_another_user_count(auth: LimitedBearerAuth) -> None:
    for _ in range(2):
        with pytest.raises(Forbidden):
            await request(auth, "alice", path_user="bob")
    with pytest.raises(TooManyRequests):
        await request(auth, "alice", path_user="bob")
    await request(auth, "bob")


async def test_invalid_tokens_count_for_their_address(auth: LimitedBearerAuth) -> None:
    with pytest.raises(InvalidToken, match=INVALID):
        await request(auth, "invalid")
    with pytest.raises(TooManyInvalidTokens) as refused:
        await request(auth, "malformed")
    assert 1 <= refused.value.retry_after <= DAY
    with pytest.raises(InvalidToken, match=INVALID):
        await request(auth, "invalid", "203.0.113.8")
    await request(auth, "alice")  # others at the address are not locked out
    assert auth.refused == {"requests": 0, "invalid_tokens": 1}


@pytest.mark.parametrize("token", [None, "expired"])
async def test_a_missing_or_expired_token_does_not_count(
    auth: LimitedBearerAuth, token: str | None
) -> None:
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await request(auth, token)
    assert auth.refused == {"requests": 0, "invalid_tokens": 0}
