"""A token that has been verified is not verified again, as long as that changes nothing."""

import asyncio
import time
from collections import Counter

import pytest

from handlers.auth.cache import MAX_CACHED_TOKEN, TokenCache
from handlers.auth.keys import SharedSecret
from handlers.auth.verifier import LEEWAY_SECONDS, Claims, InvalidToken, TokenVerifier
from harness.clients import AuthedClient, token
from harness.service import SECRET, Service
from harness.waiting import TIMEOUT_SECONDS

pytestmark = pytest.mark.anyio


class Keys(SharedSecret):
    """Keys of which one can be withdrawn."""

    def withdraw(self) -> None:
        self.version += 1


class Verifier(TokenVerifier):
    """Counts what it is asked."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.asked: Counter[str] = Counter()

    async def verify(self, token: str) -> Claims:
        self.asked[token] += 1
        return await super().verify(token)


@pytest.fixture
def keys() -> Keys:
    return Keys(SECRET.encode())


@pytest.fixture
def verifier(keys: Keys) -> Verifier:
    return Verifier(keys)


def expiring_in(seconds: int) -> str:
    return token("alice", exp=int(time.time()) + seconds - LEEWAY_SECONDS)


async def refused(tokens: TokenCache, token: str) -> None:
    """Show a token until it is refused."""
    while True:
        await tokens.verify(token)
        await asyncio.sleep(0.01)


async def test_a_token_is_verified_once(keys: Keys, verifier: Verifier) -> None:
    tokens = TokenCache(verifier, keys)
    alices, bobs = token("alice"), token("bob")
    for _ in range(3):
        assert (await tokens.verify(alices))["sub"] == "alice"
        assert (await tokens.verify(bobs))["sub"] == "bob"
    assert verifier.asked == {alices: 1, bobs: 1}


async def test_a_refusal_is_not_remembered(keys: Keys, verifier: Verifier) -> None:
    tokens = TokenCache(verifier, keys)
    forged = token("alice", secret="another secret that is as long as it takes")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await tokens.verify(forged)
    assert verifier.asked == {forged: 2}


async def test_a_remembered_token_expires_in_time(keys: Keys, verifier: Verifier) -> None:
    tokens = TokenCache(verifier, keys)
    short = expiring_in(2)
    await tokens.verify(short)
    with pytest.raises(InvalidToken, match="expired"):
        await asyncio.wait_for(refused(tokens, short), TIMEOUT_SECONDS)
    assert verifier.asked == {short: 2}


async def test_a_key_that_is_withdrawn_makes_everything_forgotten(
    keys: Keys, verifier: Verifier
) -> None:
    tokens = TokenCache(verifier, keys)
    alices = token("alice")
    await tokens.verify(alices)
    keys.withdraw()
    await tokens.verify(alices)
    await tokens.verify(alices)
    assert verifier.asked == {alices: 2}


async def test_the_oldest_makes_room_for_the_newest(keys: Keys, verifier: Verifier) -> None:
    tokens = TokenCache(verifier, keys, capacity=2)
    first, second, third = (token(user) for user in ("alice", "bob", "carol"))
    for shown in (first, second, third, second, third, first):
        await tokens.verify(shown)
    assert verifier.asked == {first: 2, second: 1, third: 1}


async def test_long_tokens_take_no_room(keys: Keys, verifier: Verifier) -> None:
    tokens = TokenCache(verifier, keys)
    long = token("alice", more=MAX_CACHED_TOKEN * "x")
    for _ in range(2):
        await tokens.verify(long)
    assert verifier.asked == {long: 2}


def test_a_token_that_expires_while_it_is_used_is_refused_by_the_service(
    service: Service,
) -> None:
    with AuthedClient(service.url, "alice") as alice:
        alice.headers["Authorization"] = f"Bearer {expiring_in(2)}"
        assert alice.get("/api/tasks").status_code == 200
        deadline = time.time() + TIMEOUT_SECONDS
        while (answer := alice.get("/api/tasks")).status_code == 200:
            assert time.time() < deadline
        assert answer.status_code == 401
        assert "expired" in answer.headers["www-authenticate"]
