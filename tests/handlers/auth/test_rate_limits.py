"""Rate limits: of the requests of each user, and of the invalid tokens from each address."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import settings
from app.components import trusted_proxies
from handlers.api.problem_types import PROBLEM_TYPES
from harness.anonymous import AnonymousClient, unauthorized_detail
from harness.clients import AuthedClient, new_user_id, token
from harness.contract import check_response
from harness.in_process import app_without_database
from harness.operation_index import Operation
from harness.operations import SECURED, name, request_operation
from harness.service import NO_TLS, SECRET, Service

LIMIT, SECONDS, DAILY = 3, 2, 1000
POLICY = f'"per-{SECONDS}-seconds";q={LIMIT};w={SECONDS}, "per-day";q={DAILY};w=86400'
INVALID_TOKENS = 3
FORGED = token("alice", secret="another secret, as long as the one in use")
PROXY = "127.0.0.1"
NOT_A_PROXY = "127.0.0.2"
PROXIES = "127.0.0.1,10.0.0.0/8,2001:db8::1"


@pytest.fixture(scope="module")
def limited(data_dir: Path, service: Service) -> Iterator[Service]:  # noqa: ARG001 (it migrates)
    """Run a service with limits, on the database of the shared one."""
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "RATE_LIMIT": f"{LIMIT}/{SECONDS} seconds; {DAILY}/day",
        "INVALID_TOKEN_LIMIT": f"{INVALID_TOKENS}/day",
        "FORWARDED_ALLOW_IPS": PROXY,
    }
    limited = Service(environment, data_dir / "limited.log")
    yield limited.wait_until_healthy()
    limited.stop()


@pytest.fixture
def sign_in(limited: Service) -> Iterator[Callable[[str], AuthedClient]]:
    """Return a function that makes a client for a user id; closed after the test."""
    with ExitStack() as clients:
        yield lambda user_id: clients.enter_context(AuthedClient(limited.url, user_id))


@pytest.fixture
def alice(sign_in: Callable[[str], AuthedClient]) -> AuthedClient:
    return sign_in(new_user_id())


@pytest.fixture
def bob(sign_in: Callable[[str], AuthedClient]) -> AuthedClient:
    return sign_in(new_user_id())


def left(response: httpx.Response) -> list[int]:
    """Return how many requests are left in each window."""
    return [int(count) for count in re.findall(r";r=(\d+)", response.headers["RateLimit"])]


def exceed(send: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Send a request until it is refused; return all responses, the 429 being the last."""
    responses = [send()]
    while responses[-1].status_code != 429:
        assert len(responses) < 100
        responses.append(send())
    return responses


# ------------------------------------------------------------------- One user


@pytest.mark.parametrize("operation", SECURED, ids=name)
def test_every_operation_says_what_is_left_and_can_be_refused(
    operation: Operation, alice: AuthedClient
) -> None:
    first, *_, refused = exceed(lambda: request_operation(alice, operation))
    assert first.headers["RateLimit-Policy"] == POLICY
    assert left(first) == [LIMIT - 1, DAILY - 1]
    assert refused.headers["RateLimit-Policy"] == POLICY
    assert left(refused) == [0]


def test_a_user_beyond_the_limit_is_served_again_as_soon_as_the_response_says(
    alice: AuthedClient,
) -> None:
    *created, refused = exceed(lambda: alice.post("/api/tasks", json={"title": "x"}))
    assert refused.json()["type"] == PROBLEM_TYPES["too-many-requests"].type
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= SECONDS
    assert refused.headers["RateLimit"] == f'"per-{SECONDS}-seconds";r=0;t={seconds}'
    time.sleep(seconds)
    assert len(alice.list_tasks()) == len(created)  # the refused request created nothing


def test_another_user_is_not_affected_and_learns_nothing(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    exceed(lambda: alice.get("/api/tasks"))
    response = bob.get("/api/tasks")
    assert response.status_code == 200
    assert left(response) == [LIMIT - 1, DAILY - 1]


def test_all_clients_and_paths_of_a_user_share_the_limit(
    sign_in: Callable[[str], AuthedClient], alice: AuthedClient
) -> None:
    phone = sign_in(alice.id)
    responses = [
        alice.get("/api/tasks"),
        phone.get(f"/api/{alice.id}/tasks/"),
        phone.post("/api/tasks", json={}),
    ]
    assert [response.status_code for response in responses] == [200, 200, 400]
    assert [left(response)[1] for response in responses] == [999, 998, 997]


def test_requests_for_the_path_of_another_user_count_for_the_one_who_sends_them(
    alice: AuthedClient, bob: AuthedClient
) -> None:
    *forbidden, _ = exceed(lambda: bob.get(f"/api/{alice.id}/tasks"))
    assert {response.status_code for response in forbidden} == {403}
    assert left(forbidden[0]) == [LIMIT - 1, DAILY - 1]
    assert left(alice.get("/api/tasks")) == [LIMIT - 1, DAILY - 1]


@pytest.mark.anyio
async def test_a_request_is_refused_before_its_body_is_read() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield pytest.fail("The body was read.")

    transport = httpx.ASGITransport(app_without_database(rate_limit=((1, 86_400),)))
    headers = {"Authorization": f"Bearer {token(new_user_id())}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/api/tasks", headers=headers)
        response = await client.post("/api/tasks", headers=headers, content=body())
    assert response.status_code == 429


@pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/api/nothing", "/api/tasks"])
def test_without_a_user_there_are_no_limits(path: str, limited: Service) -> None:
    with AnonymousClient(limited.url) as anonymous:
        responses = [anonymous.get(path) for _ in range(LIMIT + INVALID_TOKENS + 1)]
    assert 429 not in {response.status_code for response in responses}
    assert "RateLimit" not in responses[0].headers


# ------------------------------------------------------------- Invalid tokens


def send_token(
    service: Service,
    sent: str,
    forwarded_for: str | None = None,
    *,
    peer: str = PROXY,
) -> httpx.Response:
    """Send a token from an address of this machine, which may be that of a proxy."""
    headers = {"Authorization": f"Bearer {sent}"}
    if forwarded_for is not None:
        headers["X-Forwarded-For"] = forwarded_for
    transport = httpx.HTTPTransport(local_address=peer, verify=NO_TLS)
    hooks = {"response": [check_response]}
    with httpx.Client(transport=transport, event_hooks=hooks) as client:
        return client.get(f"{service.url}/api/tasks", headers=headers)


def exceed_from(service: Service, address: str) -> httpx.Response:
    """Send invalid tokens from a client behind the proxy until they are refused."""
    *accepted, refused = exceed(lambda: send_token(service, FORGED, address))
    assert {unauthorized_detail(response) for response in accepted} <= {"The token is invalid."}
    assert len(accepted) <= INVALID_TOKENS
    return refused


def test_beyond_the_limit_an_invalid_token_is_refused_and_the_response_tells_only_when_to_retry(
    limited: Service,
) -> None:
    refused = exceed_from(limited, "203.0.113.1")
    assert "invalid tokens" in refused.json()["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert not {"RateLimit", "RateLimit-Policy"} & refused.headers.keys()
    assert send_token(limited, "malformed", "203.0.113.1").status_code == 429


def test_beyond_the_limit_a_valid_token_from_the_same_address_is_accepted(
    limited: Service,
) -> None:
    exceed_from(limited, "203.0.113.2")
    response = send_token(limited, token(new_user_id()), "203.0.113.2")
    assert response.status_code == 200
    assert left(response) == [LIMIT - 1, DAILY - 1]


def test_an_expired_token_is_never_counted_so_that_clients_get_a_new_one(
    limited: Service,
) -> None:
    expired = token(new_user_id(), exp=int(time.time()) - 60)
    for _ in range(INVALID_TOKENS + 1):
        response = send_token(limited, expired, "203.0.113.3")
        assert unauthorized_detail(response) == "The token has expired."
    exceed_from(limited, "203.0.113.3")
    assert send_token(limited, expired, "203.0.113.3").status_code == 401


@pytest.mark.parametrize(
    ("used", "other", "status"),
    [
        ("203.0.113.4", "203.0.113.5", 401),
        ("203.0.113.6", "::ffff:203.0.113.6", 429),
        ("203.0.113.7", "203.0.113.7:50123", 429),
        ("198.51.100.1, 203.0.113.8", "198.51.100.2, 203.0.113.8", 429),
        (f"203.0.113.9, {PROXY}", "203.0.113.9", 429),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", 429),
        ("2001:db8:0:2::1", "2001:db8:0:3::1", 401),
    ],
)
def test_invalid_tokens_are_limited_by_the_address_that_the_proxy_has_seen(
    used: str, other: str, status: int, limited: Service
) -> None:
    exceed_from(limited, used)
    assert send_token(limited, FORGED, other).status_code == status


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("proxy", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:11.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db8::2", False),
    ],
)
async def test_a_proxy_is_recognized_on_an_ipv6_socket(proxy: str, *, trusted: bool) -> None:
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    environment = {"BETTER_AUTH_SECRET": SECRET, "FORWARDED_ALLOW_IPS": PROXIES}
    proxies = trusted_proxies(settings.load(environment))
    scope = {
        "type": "http",
        "client": (proxy, 50_000),
        "headers": [(b"x-forwarded-for", b"203.0.113.7")],
    }
    await ProxyHeadersMiddleware(app, trusted_hosts=proxies)(scope, None, None)  # type: ignore[arg-type]
    assert seen == ["203.0.113.7" if trusted else proxy]


def test_nobody_but_a_trusted_proxy_can_name_another_address(limited: Service) -> None:
    """Neither to escape the limit, nor to use up that of a victim."""
    victim = "203.0.113.99"
    exceed(lambda: send_token(limited, FORGED, victim, peer=NOT_A_PROXY))
    for address in ("203.0.113.100", PROXY, None):
        assert send_token(limited, FORGED, address, peer=NOT_A_PROXY).status_code == 429
    assert send_token(limited, FORGED, victim).status_code == 401
