"""The cache of verified tokens: it saves work, and never changes the outcome."""

import asyncio
import time
from collections import Counter

import pytest

from handlers.auth.cache import MAX_CACHED_TOKEN, TokenCache
from handlers.auth.keys import SharedSecrets
from handlers.auth.verifier import LEEWAY_SECONDS, Claims, InvalidToken, TokenVerifier
from harness.clients import AuthedClient, token
from harness.service import SECRET, Service
from harness.waiting import TIMEOUT_SECONDS

pytestmark = pytest.mark.anyio


class WithdrawableSecret(SharedSecrets):
    """A shared secret that counts as withdrawn when its version changes."""

    def withdraw(self) -> None:
        self.version += 1


class CountingVerifier(TokenVerifier):
    """Counts the calls for each token."""

    def __init__(self, keys: WithdrawableSecret) -> None:
        super().__init__(keys)
        self.calls: Counter[str] = Counter()

    async def verify(self, token: str) -> Claims:
        self.calls[token] += 1
        return await super().verify(token)


@pytest.fixture
def keys() -> WithdrawableSecret:
    return WithdrawableSecret(SECRET.encode())


@pytest.fixture
def verifier(keys: WithdrawableSecret) -> CountingVerifier:
    return CountingVerifier(keys)


def expiring_in(seconds: int) -> str:
    return token("alice", exp=int(time.time()) + seconds - LEEWAY_SECONDS)


async def verify_until_refused(tokens: TokenCache, token: str) -> None:
    """Verify a token repeatedly until it is refused."""
    while True:
        await tokens.verify(token)
        await asyncio.sleep(0.01)


async def test_a_token_is_verified_once(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys)
    alice_token, bob_token = token("alice"), token("bob")
    for _ in range(3):
        assert (await tokens.verify(alice_token))["sub"] == "alice"
        assert (await tokens.verify(bob_token))["sub"] == "bob"
    assert verifier.calls == {alice_token: 1, bob_token: 1}
    assert (tokens.hits, tokens.misses) == (4, 2)


async def test_a_refusal_is_not_cached(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys)
    forged = token("alice", secret="another secret that is as long as it takes")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await tokens.verify(forged)
    assert verifier.calls == {forged: 2}
    assert (tokens.hits, tokens.misses) == (0, 2)


async def test_a_cached_token_expires_on_time(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys)
    short_lived = expiring_in(2)
    await tokens.verify(short_lived)
    with pytest.raises(InvalidToken, match="expired"):
        await asyncio.wait_for(verify_until_refused(tokens, short_lived), TIMEOUT_SECONDS)
    assert verifier.calls == {short_lived: 2}


async def test_withdrawing_a_key_empties_the_cache(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys)
    alice_token = token("alice")
    await tokens.verify(alice_token)
    keys.withdraw()
    await tokens.verify(alice_token)
    await tokens.verify(alice_token)
    assert verifier.calls == {alice_token: 2}


async def test_the_oldest_entry_is_evicted_first(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys, capacity=2)
    first, second, third = (token(user) for user in ("alice", "bob", "carol"))
    for sent in (first, second, third, second, third, first):
        await tokens.verify(sent)
    assert verifier.calls == {first: 2, second: 1, third: 1}


async def test_long_tokens_are_not_cached(
    keys: WithdrawableSecret, verifier: CountingVerifier
) -> None:
    tokens = TokenCache(verifier, keys)
    long = token("alice", more=MAX_CACHED_TOKEN * "x")
    for _ in range(2):
        await tokens.verify(long)
    assert verifier.calls == {long: 2}


def test_the_service_refuses_a_cached_token_once_it_expires(
    service: Service,
) -> None:
    with AuthedClient(service.url, "alice") as alice:
        alice.headers["Authorization"] = f"Bearer {expiring_in(2)}"
        assert alice.get("/api/tasks").status_code == 200
        deadline = time.time() + TIMEOUT_SECONDS
        while (response := alice.get("/api/tasks")).status_code == 200:
            assert time.time() < deadline
        assert response.status_code == 401
        assert "expired" in response.headers["www-authenticate"]
