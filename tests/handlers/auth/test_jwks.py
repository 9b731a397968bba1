"""How published keys are fetched and kept, whatever the address that publishes them does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt
import pytest

from handlers.auth import jwks
from handlers.auth.jwks import MAX_BYTES, JWKSClient, KeysUnavailable
from harness.clients import new_user_id
from harness.jwks_server import JWKSServer, KeyPair
from harness.waiting import poll_until, time_limit

pytestmark = pytest.mark.anyio

PAUSE = 0.2
ED = KeyPair()
NEW = KeyPair("ES256")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for as long as in real life."""
    monkeypatch.setattr(jwks, "PAUSE", PAUSE)


@pytest.fixture
def jwks_server() -> JWKSServer:
    return JWKSServer(ED)


@pytest.fixture
def running(jwks_server: JWKSServer) -> Iterator[JWKSServer]:
    with jwks_server.running():
        yield jwks_server


@asynccontextmanager
async def kept(jwks_server: JWKSServer) -> AsyncIterator[JWKSClient]:
    keys = JWKSClient(jwks_server.url)
    async with keys.running():
        yield keys


async def ask(keys: JWKSClient, pair: KeyPair) -> str:
    """Ask for a key, and tell what comes of it: its kid, or the error's name."""
    header = {"alg": pair.algorithm, "kid": pair.kid}
    try:
        async with time_limit():
            return str((await keys.key_for(header)).key_id)
    except (jwt.InvalidKeyError, KeysUnavailable) as error:
        return type(error).__name__


NOBODYS = "InvalidKeyError"
UNKNOWABLE = "KeysUnavailable"


async def test_the_first_request_waits_for_the_first_fetch(running: JWKSServer) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        assert running.request_count == 1


async def test_a_new_key_is_found_at_once(running: JWKSServer) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        running.publish(NEW, ED)
        assert await ask(keys, NEW) == NEW.kid
        assert await ask(keys, ED) == ED.kid
        assert running.request_count == 2


async def test_a_key_that_is_published_during_a_fetch_is_found_by_the_next(
    running: JWKSServer,
) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        running.delay = 0.3
        before = asyncio.create_task(ask(keys, KeyPair()))
        await poll_until(lambda: reached(running, 2))
        running.publish(NEW)
        assert await ask(keys, NEW) == NEW.kid
        assert await before == NOBODYS


async def test_a_key_that_is_no_longer_published_goes(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "REFRESH_INTERVAL", PAUSE)
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        version = keys.version
        running.publish(NEW)
        await poll_until(lambda: changed(keys, version))
        assert await ask(keys, ED) == NOBODYS
        running.publish()
        assert await ask(keys, KeyPair()) == NOBODYS
        assert await ask(keys, NEW) == NOBODYS


async def changed(keys: JWKSClient, version: int) -> bool:
    return keys.version != version


async def test_while_nothing_changes_the_version_does_not_either(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "REFRESH_INTERVAL", PAUSE)
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        version = keys.version
        asked = running.request_count
        await poll_until(lambda: reached(running, asked + 5))
        assert keys.version == version


async def reached(jwks_server: JWKSServer, asked: int) -> bool:
    return jwks_server.request_count >= asked


async def test_unknown_kids_cause_one_fetch_at_a_time_and_few_of_them(
    running: JWKSServer,
) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        began = time.monotonic()
        for _ in range(5):
            many = [ask(keys, KeyPair(private=ED.private)) for _ in range(200)]
            assert set(await asyncio.gather(*many)) == {NOBODYS}
        seconds = time.monotonic() - began
        assert running.request_count <= 2 + seconds / PAUSE


async def test_unknown_kids_keep_nobody_waiting_whose_key_is_known(
    running: JWKSServer,
) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        running.delay = 0.5
        strangers = [
            asyncio.create_task(ask(keys, KeyPair(private=ED.private))) for _ in range(100)
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(0.3):
            assert await ask(keys, ED) == ED.kid
        assert not any(anonymous.done() for anonymous in strangers)
        assert set(await asyncio.gather(*strangers)) == {NOBODYS}


async def test_an_algorithm_that_nobody_publishes_causes_no_fetch(running: JWKSServer) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        for algorithm in ("none", "HS256", "ES384", "EdDSA ", ""):
            with pytest.raises(jwt.InvalidKeyError):
                await keys.key_for({"alg": algorithm, "kid": new_user_id()})
        assert running.request_count == 1


async def test_keys_that_were_never_there_come_when_the_address_does(
    jwks_server: JWKSServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "todo.auth")
    async with kept(jwks_server) as keys:
        for _ in range(3):
            assert await ask(keys, ED) == UNKNOWABLE
            await asyncio.sleep(2 * PAUSE)  # so that the next fetch fails, too
        with jwks_server.running():
            await poll_until(lambda: known(keys))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert caplog.messages[0].startswith(f"The keys at {jwks_server.url} cannot be fetched: ")
    assert caplog.messages[2] == f"The keys at {jwks_server.url} can be fetched again."


async def known(keys: JWKSClient) -> bool:
    return await ask(keys, ED) == ED.kid


async def test_known_keys_stay_good_while_the_address_is_silent(
    jwks_server: JWKSServer,
) -> None:
    async with kept(jwks_server) as keys:
        with jwks_server.running():
            await poll_until(lambda: known(keys))
        assert await ask(keys, NEW) == UNKNOWABLE
        assert await ask(keys, ED) == ED.kid
        jwks_server.publish(NEW)
        with jwks_server.running():
            await poll_until(lambda: changed(keys, 1))
        assert await ask(keys, NEW) == NEW.kid


async def test_an_address_that_says_nothing_is_not_waited_for_for_long(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT", 0.3)
    running.delay = 2
    async with kept(running) as keys:
        began = time.monotonic()
        assert await ask(keys, ED) == UNKNOWABLE
        assert await ask(keys, ED) == UNKNOWABLE
        assert time.monotonic() - began < 1.5


def broken_json(jwks_server: JWKSServer) -> None:
    jwks_server.body = jwks_server.body[:-1]


def compressed(jwks_server: JWKSServer) -> None:
    jwks_server.headers["Content-Encoding"] = "gzip"
    jwks_server.body = b"\x1f\x8b" + jwks_server.body


def padded(size: int) -> Callable[[JWKSServer], None]:
    def change(jwks_server: JWKSServer) -> None:
        jwks_server.body = jwks_server.body.ljust(size)

    return change


def saying(body: bytes) -> Callable[[JWKSServer], None]:
    return lambda jwks_server: setattr(jwks_server, "body", body)


def status(number: int) -> Callable[[JWKSServer], None]:
    return lambda jwks_server: setattr(jwks_server, "status", number)


BAD_ANSWERS: dict[str, Callable[[JWKSServer], None]] = {
    "not modified": status(304),
    "a page that is not there": status(404),
    "a failure": status(500),
    "too many requests": status(429),
    "another success": status(206),
    "a byte too many": padded(MAX_BYTES + 1),
    "many bytes too many": padded(50_000_000),
    "broken JSON": broken_json,
    "compressed": compressed,
    "nothing": saying(b""),
    "a page": saying(b"<!doctype html><title>Sign in</title>"),
    "a list": saying(b"[]"),
    "another object": saying(b'{"error": "not found"}'),
    "keys that are no list": saying(b'{"keys": {"kid": {}}}'),
    "null": saying(b"null"),
    "nesting": saying(b"[" * 60_000),
    "not UTF-8": saying(b'{"keys": ["\xff"]}'),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_bad_answer_brings_no_keys_and_takes_none_away(
    running: JWKSServer, name: str
) -> None:
    good = vars(running).copy()
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        running.publish(NEW, ED)
        BAD_ANSWERS[name](running)
        assert await ask(keys, NEW) == UNKNOWABLE
        assert await ask(keys, ED) == ED.kid
        asked = running.request_count
        vars(running).update(good | {"headers": {}, "asked": asked})
        running.publish(NEW, ED)
        await poll_until(lambda: changed(keys, 1))
        assert await ask(keys, NEW) == NEW.kid


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(running: JWKSServer, number: int) -> None:
    with JWKSServer(NEW).running() as elsewhere:
        async with kept(running) as keys:
            assert await ask(keys, ED) == ED.kid
            running.status = number
            for location in (elsewhere.url, f"{running.url}?again"):
                running.headers = {"Location": location}
                assert await ask(keys, NEW) == UNKNOWABLE
                after = running.request_count + 2
                await poll_until(partial(reached, running, after))
        assert elsewhere.request_count == 0


async def test_the_largest_answer_is_read(running: JWKSServer) -> None:
    padded(MAX_BYTES)(running)
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid


async def test_no_proxy_of_the_environment_has_a_say(
    running: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid


async def test_after_the_end_nobody_asks_any_more(running: JWKSServer) -> None:
    async with kept(running) as keys:
        assert await ask(keys, ED) == ED.kid
        before: set[asyncio.Task[Any]] = asyncio.all_tasks()
    assert len(asyncio.all_tasks()) == len(before) - 1
