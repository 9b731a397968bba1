"""JWKSClient: how published keys are fetched and refreshed, also when the server fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt
import pytest

from handlers.auth import jwks
from handlers.auth.jwks import MAX_BYTES, MAX_WAITING, JWKSClient, KeysUnavailable
from harness.clients import new_user_id
from harness.jwks_server import JWKSServer, KeyPair
from harness.waiting import poll_until, time_limit

pytestmark = pytest.mark.anyio

PAUSE = 0.2
ED = KeyPair()
NEW = KeyPair("ES256")


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause between fetches."""
    monkeypatch.setattr(jwks, "PAUSE", PAUSE)


@pytest.fixture
def jwks_server() -> JWKSServer:
    return JWKSServer(ED)


@pytest.fixture
def running(jwks_server: JWKSServer) -> Iterator[JWKSServer]:
    with jwks_server.running():
        yield jwks_server


@asynccontextmanager
async def running_client(jwks_server: JWKSServer) -> AsyncIterator[JWKSClient]:
    keys = JWKSClient(jwks_server.url)
    async with keys.running():
        yield keys


async def key_for(keys: JWKSClient, pair: KeyPair) -> str:
    """Look up a key; return its kid, or the name of the error."""
    header = {"alg": pair.algorithm, "kid": pair.kid}
    try:
        async with time_limit():
            (key,) = await keys.keys_for(header)
            return str(key.key_id)
    except (jwt.InvalidKeyError, KeysUnavailable) as error:
        return type(error).__name__


INVALID_KEY = "InvalidKeyError"
UNAVAILABLE = "KeysUnavailable"


async def test_the_first_request_waits_for_the_first_fetch(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        assert running.request_count == 1


async def test_until_the_client_runs_no_key_is_available(running: JWKSServer) -> None:
    assert await key_for(JWKSClient(running.url), ED) == UNAVAILABLE
    assert running.request_count == 0


async def test_a_first_response_that_is_empty_is_a_failure(
    running: JWKSServer, caplog: pytest.LogCaptureFixture
) -> None:
    running.body = b""
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == UNAVAILABLE
        assert keys.failures == keys.fetches > 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_without_an_answer_in_time_a_key_is_not_called_invalid(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        monkeypatch.setattr(jwks, "KEY_WAIT", 0.1)
        running.delay = 2
        running.publish(NEW)
        assert await key_for(keys, NEW) == UNAVAILABLE
        assert await key_for(keys, ED) == ED.kid


async def test_a_key_is_unavailable_at_once_while_too_many_requests_wait_for_others(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_WAITING", 3)
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        running.delay = 0.5
        waiting = [asyncio.create_task(key_for(keys, KeyPair())) for _ in range(3)]
        await poll_until(lambda: reached(running, 2))
        assert await key_for(keys, NEW) == UNAVAILABLE
        assert await key_for(keys, ED) == ED.kid
        assert not any(task.done() for task in waiting)
        assert await asyncio.gather(*waiting) == 3 * [INVALID_KEY]
        running.publish(NEW)
        assert await key_for(keys, NEW) == NEW.kid


async def test_a_new_key_is_found_immediately(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        running.publish(NEW, ED)
        assert await key_for(keys, NEW) == NEW.kid
        assert await key_for(keys, ED) == ED.kid
        assert running.request_count == 2


async def test_a_key_published_during_a_fetch_is_found_by_the_next(
    running: JWKSServer,
) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        running.delay = 0.3
        before = asyncio.create_task(key_for(keys, KeyPair()))
        await poll_until(lambda: reached(running, 2))
        running.publish(NEW)
        assert await key_for(keys, NEW) == NEW.kid
        assert await before == INVALID_KEY


async def test_a_key_that_is_no_longer_published_is_dropped(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "REFRESH_INTERVAL", PAUSE)
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        version = keys.version
        running.publish(NEW)
        await poll_until(lambda: changed(keys, version))
        assert await key_for(keys, ED) == INVALID_KEY
        running.publish()
        assert await key_for(keys, KeyPair()) == INVALID_KEY
        assert await key_for(keys, NEW) == INVALID_KEY


async def changed(keys: JWKSClient, version: int) -> bool:
    return keys.version != version


async def test_the_version_changes_only_with_the_keys(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "REFRESH_INTERVAL", PAUSE)
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        version = keys.version
        asked = running.request_count
        await poll_until(lambda: reached(running, asked + 5))
        assert keys.version == version


async def reached(jwks_server: JWKSServer, asked: int) -> bool:
    return jwks_server.request_count >= asked


async def test_unknown_kids_cause_few_fetches_and_one_at_a_time(
    running: JWKSServer,
) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        start = time.monotonic()
        for _ in range(5):
            many = [key_for(keys, KeyPair(private=ED.private)) for _ in range(MAX_WAITING)]
            assert set(await asyncio.gather(*many)) == {INVALID_KEY}
        seconds = time.monotonic() - start
        assert running.request_count <= 2 + seconds / PAUSE


async def test_an_unknown_kid_causes_one_more_fetch(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, KeyPair()) == INVALID_KEY
        asked = running.request_count
        await asyncio.sleep(3 * PAUSE)
        assert running.request_count == asked


async def test_unknown_kids_do_not_delay_requests_with_known_keys(
    running: JWKSServer,
) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        running.delay = 0.5
        unknown = [
            asyncio.create_task(key_for(keys, KeyPair(private=ED.private))) for _ in range(100)
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(0.3):
            assert await key_for(keys, ED) == ED.kid
        assert not any(anonymous.done() for anonymous in unknown)
        assert set(await asyncio.gather(*unknown)) == {INVALID_KEY}


async def test_an_unpublished_algorithm_causes_no_fetch(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        for algorithm in ("none", "HS256", "ES384", "EdDSA ", ""):
            with pytest.raises(jwt.InvalidKeyError):
                await keys.keys_for({"alg": algorithm, "kid": new_user_id()})
        assert running.request_count == 1


async def test_keys_are_fetched_once_the_server_becomes_available(
    jwks_server: JWKSServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "todo.auth")
    async with running_client(jwks_server) as keys:
        for _ in range(3):
            assert await key_for(keys, ED) == UNAVAILABLE
            await asyncio.sleep(2 * PAUSE)  # so that the next fetch fails, too
        assert keys.fetches == keys.failures > 0
        with jwks_server.running():
            await poll_until(lambda: is_known(keys))
            assert caplog.messages[2].endswith(f" {jwks_server.url} can be fetched again.")
            assert await key_for(keys, NEW) == INVALID_KEY
        assert keys.fetches > keys.failures
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert caplog.messages[0].startswith(f"The keys at {jwks_server.url} cannot be fetched: ")


async def is_known(keys: JWKSClient) -> bool:
    return await key_for(keys, ED) == ED.kid


async def test_known_keys_stay_valid_while_the_server_is_down(jwks_server: JWKSServer) -> None:
    async with running_client(jwks_server) as keys:
        with jwks_server.running():
            await poll_until(lambda: is_known(keys))
        assert await key_for(keys, NEW) == UNAVAILABLE
        assert await key_for(keys, ED) == ED.kid
        jwks_server.publish(NEW)
        with jwks_server.running():
            await poll_until(lambda: changed(keys, 1))
        assert await key_for(keys, NEW) == NEW.kid


async def test_an_unresponsive_server_is_waited_for_only_briefly(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT", 0.3)
    running.delay = 2
    async with running_client(running) as keys:
        start = time.monotonic()
        assert await key_for(keys, ED) == UNAVAILABLE
        assert await key_for(keys, ED) == UNAVAILABLE
        assert time.monotonic() - start < 1.5
    assert caplog.messages == [f"The keys at {running.url} cannot be fetched: TimeoutError."]


def broken_json(jwks_server: JWKSServer) -> None:
    jwks_server.body = jwks_server.body[:-1]


def compressed(jwks_server: JWKSServer) -> None:
    jwks_server.headers["Content-Encoding"] = "gzip"
    jwks_server.body = b"\x1f\x8b" + jwks_server.body


def padded(size: int) -> Callable[[JWKSServer], None]:
    def change(jwks_server: JWKSServer) -> None:
        jwks_server.body = jwks_server.body.ljust(size)

    return change


def with_content(body: bytes) -> Callable[[JWKSServer], None]:
    return lambda jwks_server: setattr(jwks_server, "body", body)


def status(number: int) -> Callable[[JWKSServer], None]:
    return lambda jwks_server: setattr(jwks_server, "status", number)


INVALID_RESPONSES: dict[str, Callable[[JWKSServer], None]] = {
    "not modified": status(304),
    "not found": status(404),
    "a server error": status(500),
    "too many requests": status(429),
    "another success": status(206),
    "one byte too large": padded(MAX_BYTES + 1),
    "far too large": padded(50_000_000),
    "broken JSON": broken_json,
    "compressed": compressed,
    "empty": with_content(b""),
    "an HTML page": with_content(b"<!doctype html><title>Sign in</title>"),
    "a list": with_content(b"[]"),
    "another object": with_content(b'{"error": "not found"}'),
    "keys that are not a list": with_content(b'{"keys": {"kid": {}}}'),
    "null": with_content(b"null"),
    "nesting": with_content(b"[" * 60_000),
    "not UTF-8": with_content(b'{"keys": ["\xff"]}'),
}


@pytest.mark.parametrize("name", INVALID_RESPONSES)
async def test_an_invalid_response_leaves_the_keys_unchanged(
    running: JWKSServer, name: str
) -> None:
    good = vars(running).copy()
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        running.publish(NEW, ED)
        INVALID_RESPONSES[name](running)
        assert await key_for(keys, NEW) == UNAVAILABLE
        assert await key_for(keys, ED) == ED.kid
        asked = running.request_count
        vars(running).update(good | {"headers": {}, "asked": asked})
        running.publish(NEW, ED)
        await poll_until(lambda: changed(keys, 1))
        assert await key_for(keys, NEW) == NEW.kid


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (status(404), "the response is 404"),
        (padded(MAX_BYTES + 1), "the response is larger than 65536 bytes"),
        (with_content(b"[]"), "the response is not an object with a list of keys"),
    ],
)
async def test_the_log_says_once_why_keys_cannot_be_fetched(
    running: JWKSServer,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[JWKSServer], None],
    reason: str,
) -> None:
    change(running)
    async with running_client(running):
        await poll_until(lambda: reached(running, 3))
    assert caplog.messages == [f"The keys at {running.url} cannot be fetched: {reason}."]


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(running: JWKSServer, number: int) -> None:
    with JWKSServer(NEW).running() as elsewhere:
        async with running_client(running) as keys:
            assert await key_for(keys, ED) == ED.kid
            running.status = number
            for location in (elsewhere.url, f"{running.url}?again"):
                running.headers = {"Location": location}
                assert await key_for(keys, NEW) == UNAVAILABLE
                after = running.request_count + 2
                await poll_until(partial(reached, running, after))
        assert elsewhere.request_count == 0


async def test_a_response_of_the_maximum_size_is_read(running: JWKSServer) -> None:
    padded(MAX_BYTES)(running)
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid


async def test_a_response_without_compression_is_requested(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
    assert running.request_headers["Accept-Encoding"] == "identity"


async def test_proxy_settings_of_the_environment_are_ignored(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid


async def test_the_refresh_task_ends_with_the_context(running: JWKSServer) -> None:
    async with running_client(running) as keys:
        assert await key_for(keys, ED) == ED.kid
        before: set[asyncio.Task[Any]] = asyncio.all_tasks()
    assert len(asyncio.all_tasks()) == len(before) - 1
