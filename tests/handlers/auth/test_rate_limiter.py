"""Rate limits in the memory of a process: what is counted, what is told, what is kept."""

import re
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from starlette.types import Scope

from handlers.auth import rate_limiter
from handlers.auth.counters import Counters, MemoryCounters
from handlers.auth.limited import client_network
from handlers.auth.rate_limiter import RateLimiter, TooManyRequests, window_name

HOUR, DAY = 3600, 86_400

pytestmark = pytest.mark.anyio


def limiter(*limits: tuple[int, int], counters: Counters | None = None) -> RateLimiter:
    return RateLimiter("requests", limits, counters or MemoryCounters())


class NoCounters:
    """Counts nothing, like counters whose server is down."""

    async def increment(self, key: str, window: int, seconds: int) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def usage(limiter: RateLimiter, key: str) -> Sequence[tuple[str, int, int]]:
    """Count a hit; return the name of each limit, what is left, and for how many seconds."""
    headers: list[tuple[bytes, bytes]] = []
    await limiter.hit(key, headers)
    items = re.findall(r'"([a-z0-9-]+)";r=(\d+);t=(\d+)', dict(headers)[b"ratelimit"].decode())
    return [(name, int(left), int(seconds)) for name, left, seconds in items]


async def test_limits_are_told_from_the_shortest_window_to_the_longest() -> None:
    limited = limiter((4, DAY), (5, HOUR))
    for hit in (1, 2):
        hourly, daily = await usage(limited, "alice")
        assert hourly[:2] == ("per-hour", 5 - hit)
        assert daily[:2] == ("per-day", 4 - hit)


async def test_a_hit_beyond_one_limit_does_not_count_for_longer_windows() -> None:
    counters = MemoryCounters()
    both = limiter((2, HOUR), (9, DAY), counters=counters)
    daily = limiter((9, DAY), counters=counters)
    await usage(both, "alice")
    await usage(both, "alice")
    for _ in range(3):
        with pytest.raises(TooManyRequests) as refused:
            await usage(both, "alice")
        assert 1 <= refused.value.retry_after <= HOUR
    ((_, left, _),) = await usage(daily, "alice")
    assert left == 9 - 3


async def test_headers_say_what_is_left_until_when_and_of_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(time=lambda: 7 * DAY + 600.9)
    monkeypatch.setattr(rate_limiter, "time", clock)
    monkeypatch.setattr(rate_limiter, "crc32", lambda _key: 0)  # windows begin at midnight
    policy = b'"per-hour";q=1;w=3600, "per-day";q=20;w=86400'
    limited = limiter((20, DAY), (1, HOUR))
    headers: list[tuple[bytes, bytes]] = []
    await limited.hit("alice", headers)
    assert headers == [
        (b"ratelimit", b'"per-hour";r=0;t=3000, "per-day";r=19;t=85800'),
        (b"ratelimit-policy", policy),
    ]
    assert limited.refused == 0
    headers.clear()
    with pytest.raises(TooManyRequests) as refused:
        await limited.hit("alice", headers)
    assert refused.value.retry_after == 3000
    assert headers == [(b"ratelimit", b'"per-hour";r=0;t=3000'), (b"ratelimit-policy", policy)]
    assert limited.refused == 1


async def test_without_limits_nothing_is_counted_or_told() -> None:
    headers: list[tuple[bytes, bytes]] = []
    await limiter().hit("alice", headers)
    assert headers == []


async def test_hits_that_cannot_be_counted_are_allowed_and_nothing_is_told() -> None:
    headers: list[tuple[bytes, bytes]] = []
    await limiter((0, DAY), counters=NoCounters()).hit("alice", headers)
    assert headers == []


async def test_the_windows_of_different_users_end_at_different_times() -> None:
    """Otherwise all who wait for the end of a window would come back at once."""
    limited = limiter((9, DAY))
    ends = {(await usage(limited, f"user {n}"))[0][2] for n in range(20)}
    assert len(ends) > 15


async def test_a_window_that_has_ended_does_not_count() -> None:
    counters = MemoryCounters()
    assert [await counters.increment("alice", 7, 1) for _ in range(3)] == [1, 2, 3]
    assert [await counters.increment("alice", 8, 1) for _ in range(2)] == [1, 2]


async def test_the_memory_for_counters_is_bounded() -> None:
    """A hundred thousand take 25 MB; without a bound, a million would take 280."""
    counters = MemoryCounters()
    await counters.increment("alice", 1, DAY)
    for number in range(100_000):
        await counters.increment(f"user {number}", 1, DAY)
    assert await counters.increment("alice", 1, DAY) == 1


async def test_the_counter_that_was_not_used_for_longest_is_dropped_first() -> None:
    counters = MemoryCounters(capacity=2)
    for user in ("alice", "bob", "alice", "carol"):
        await counters.increment(user, 1, DAY)
    assert [await counters.increment(user, 1, DAY) for user in ("alice", "bob")] == [3, 1]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, b"per-second"),
        (90, b"per-90-seconds"),
        (60, b"per-minute"),
        (300, b"per-5-minutes"),
        (7200, b"per-2-hours"),
        (DAY, b"per-day"),
    ],
)
async def test_a_limit_is_named_after_its_window(seconds: int, expected: bytes) -> None:
    assert window_name(seconds) == expected


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("203.0.113.7", 50123), "203.0.113.7"),
        (("::ffff:203.0.113.7", 50123), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 50123), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 50123), "fe80::/64"),
        (("", 0), "unknown"),
        (("unix:", 0), "unknown"),
        (None, "unknown"),
    ],
)
async def test_a_client_is_an_ipv4_address_or_an_ipv6_network(
    client: object, network: str
) -> None:
    scope: Scope = {"type": "http", "client": client}
    assert client_network(scope) == network
