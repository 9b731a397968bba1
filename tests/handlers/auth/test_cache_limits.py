"""The limits of the token cache: its capacity, the length of a token, the time it is valid."""

from collections import Counter
from types import SimpleNamespace

import pytest

from handlers.auth import cache
from handlers.auth.cache import MAX_CACHED_TOKEN, TokenCache
from handlers.auth.keys import SharedSecrets
from handlers.auth.verifier import LEEWAY_SECONDS, Claims

pytestmark = pytest.mark.anyio

NOW = 1_000_000


class Keys(SharedSecrets):
    """Keys that can be withdrawn."""

    def __init__(self) -> None:
        super().__init__(b"a secret of the tests that is long enough")
        self.version = 0


class Verifier:
    """Accepts every token, and counts how often each is verified."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.verified: Counter[str] = Counter()
        self.expires_at = NOW + 100
        self.withdraws = False

    async def verify(self, token: str) -> Claims:
        self.verified[token] += 1
        self.keys.version += self.withdraws
        return {"sub": token, "exp": self.expires_at}


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(Keys())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(cache, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


async def verify(tokens: TokenCache, *names: str) -> None:
    for name in names:
        assert (await tokens.verify(name))["sub"] == name


async def test_the_least_recently_used_token_is_evicted_first(
    verifier: Verifier,
) -> None:
    tokens = TokenCache(verifier, verifier.keys, capacity=3)
    await verify(tokens, "a", "b", "c")
    await verify(tokens, "a", "c", "d")  # `b` was not used again, and makes room for `d`
    await verify(tokens, "a", "c", "d")
    assert verifier.verified == {"a": 1, "b": 1, "c": 1, "d": 1}
    await verify(tokens, "b")
    assert verifier.verified["b"] == 2
    await verify(tokens, "c", "d", "b")  # `a` was the oldest when `b` came back
    assert verifier.verified == {"a": 1, "b": 2, "c": 1, "d": 1}


async def test_as_many_tokens_as_the_capacity_are_kept(
    verifier: Verifier,
) -> None:
    tokens = TokenCache(verifier, verifier.keys, capacity=3)
    for _ in range(3):
        await verify(tokens, "a", "b", "c")
    assert verifier.verified == {"a": 1, "b": 1, "c": 1}


async def test_the_longest_token_that_is_kept_has_4096_characters(
    verifier: Verifier,
) -> None:
    tokens = TokenCache(verifier, verifier.keys)
    kept, too_long = MAX_CACHED_TOKEN * "x", (MAX_CACHED_TOKEN + 1) * "x"
    await verify(tokens, kept, too_long, kept, too_long)
    assert verifier.verified == {kept: 1, too_long: 2}
    assert MAX_CACHED_TOKEN == 4096


async def test_a_token_is_verified_again_at_the_second_at_which_it_expires(
    verifier: Verifier, clock: SimpleNamespace
) -> None:
    tokens = TokenCache(verifier, verifier.keys)
    await verify(tokens, "a")
    clock.now = verifier.expires_at + LEEWAY_SECONDS - 0.001
    await verify(tokens, "a")
    assert verifier.verified == {"a": 1}
    clock.now = verifier.expires_at + LEEWAY_SECONDS
    await verify(tokens, "a")
    assert verifier.verified == {"a": 2}


async def test_a_key_that_is_withdrawn_while_a_token_is_verified_empties_the_cache(
    verifier: Verifier,
) -> None:
    tokens = TokenCache(verifier, verifier.keys)
    await verify(tokens, "a")
    verifier.withdraws = True
    await verify(tokens, "b")
    verifier.withdraws = False
    await verify(tokens, "b", "a")
    assert verifier.verified == {"a": 2, "b": 1}


async def test_by_default_ten_thousand_tokens_are_kept(
    verifier: Verifier,
) -> None:
    tokens = TokenCache(verifier, verifier.keys)
    names = [str(number) for number in range(10_001)]
    await verify(tokens, *names)
    await verify(tokens, *names[1:])
    assert verifier.verified == Counter(names)
    await verify(tokens, names[0])
    assert verifier.verified[names[0]] == 2
