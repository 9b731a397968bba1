"""Rate limits that processes share: in Redis, and without it as if there were no limits."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from handlers.auth import redis_counters
from handlers.auth.redis_counters import RedisCounters
from harness.clients import AuthedClient, new_user_id
from harness.redis import Redis, running_redis
from harness.service import SECRET, Serve, Service
from harness.workers import server_processes

pytest_plugins = ["harness.isolated_services"]

LIMIT = 10


@pytest.fixture
def shared_redis(tmp_path: Path) -> Iterator[Redis]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def limited(
    data_dir: Path,
    service: Service,  # noqa: ARG001 (it migrates)
    shared_redis: Redis,
    serve: Serve,
) -> Service:
    """Run a service with two workers, on the database of the shared one."""
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "RATE_LIMIT": f"{LIMIT}/day",
        "RATE_LIMIT_STORAGE": shared_redis.url,
        "WORKERS": "2",
    }
    return serve(environment).wait_until_healthy()


@contextmanager
def only(worker: psutil.Process, service: Service) -> Iterator[None]:
    """Suspend every other worker, so that this one serves."""
    others = [each for each in server_processes(service) if each != worker]
    for other in others:
        other.suspend()
    try:
        yield
    finally:
        for other in others:
            other.resume()


def request(service: Service, user: str, count: int) -> list[httpx.Response]:
    """Send requests over a new connection."""
    with AuthedClient(service.url, user) as client:
        return [client.get("/api/tasks") for _ in range(count)]


def test_two_workers_share_the_limit(limited: Service) -> None:
    user = new_user_id()
    one, two = server_processes(limited)
    with only(one, limited):
        served = request(limited, user, LIMIT)
    with only(two, limited):
        (refused,) = request(limited, user, 1)
        (another,) = request(limited, new_user_id(), 1)
    assert {response.status_code for response in served} == {200}
    assert refused.status_code == 429
    assert another.headers["RateLimit"].startswith(f'"per-day";r={LIMIT - 1};')


def test_without_redis_every_request_is_served(limited: Service, shared_redis: Redis) -> None:
    user = new_user_id()
    shared_redis.kill()
    responses = request(limited, user, LIMIT + 1)
    assert {response.status_code for response in responses} == {200}
    assert not any("RateLimit" in response.headers for response in responses)


@pytest.mark.anyio
async def test_an_outage_is_logged_once_and_counting_resumes_after_it(
    shared_redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_counters, "PAUSE", 0.05)
    caplog.set_level(logging.INFO, "todo.limits")
    async with aclosing(RedisCounters(shared_redis.url)) as counters:

        async def count() -> int | None:
            return await counters.increment("alice", 1, 3600)

        assert [await count(), await count()] == [1, 2]
        shared_redis.kill()
        assert set(await asyncio.gather(*(count() for _ in range(50)))) == {None}
        await asyncio.sleep(0.1)
        assert await count() is None
        shared_redis.start()
        await asyncio.sleep(0.1)
        assert [await count(), await count()] == [1, 2]
    lost, found = [record.getMessage() for record in caplog.records]
    assert "nothing is limited" in lost
    assert "hunter2" not in lost
    assert "again" in found


@pytest.mark.anyio
async def test_a_redis_that_hangs_delays_one_request_at_a_time(shared_redis: Redis) -> None:
    async with aclosing(RedisCounters(shared_redis.url)) as counters:
        assert await counters.increment("alice", 1, 3600) == 1
        shared_redis.pause()
        started = time.monotonic()
        assert await counters.increment("alice", 1, 3600) is None
        assert time.monotonic() - started < 10 * redis_counters.TIMEOUT
        started = time.monotonic()
        assert [await counters.increment("alice", 1, 3600) for _ in range(100)] == [None] * 100
        assert time.monotonic() - started < redis_counters.TIMEOUT


@pytest.mark.anyio
async def test_keys_and_windows_are_counted_apart_and_forgotten(shared_redis: Redis) -> None:
    async with aclosing(RedisCounters(shared_redis.url)) as counters:
        assert await counters.increment("alice", 1, 1) == 1
        assert await counters.increment("alice", 1, 1) == 2
        assert await counters.increment("bob", 1, 1) == 1
        assert await counters.increment("alice", 2, 1) == 1
        assert shared_redis.keys() == 3
        await asyncio.sleep(1.1)
        assert shared_redis.keys() == 0
