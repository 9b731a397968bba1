"""A service configured with the claim that names the user, an issuer and an audience."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.anonymous import INVALID, AnonymousClient
from harness.clients import new_user_id
from harness.clients import token as hs256
from harness.jwks_server import JWKSServer, KeyPair
from harness.service import SECRET, Service

ISSUER = "https://todo.example"
AUDIENCE = "https://api.todo.example"
VALID: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE}
PAIR = KeyPair()

OTHER_USERS: dict[str, dict[str, Any]] = {
    "no user": {},
    "a user that is a string": {"user": "alice"},
    "a user that is null": {"user": None},
    "a user that is a list": {"user": [{"id": "alice"}]},
    "a user without id": {"user": {"ID": "alice"}},
    "an id that is null": {"user": {"id": None}},
    "an id that is a number": {"user": {"id": 5}},
    "an id that is empty": {"user": {"id": ""}},
    "an id that is too long": {"user": {"id": "x" * 256}},
    "an id with a control character": {"user": {"id": "alice\n"}},
    "an id that is an object": {"user": {"id": {"id": "alice"}}},
    "a claim with a dot in its name": {"user.id": "alice"},
    "the claim at another path": {"session": {"user": {"id": "alice"}}, "id": "alice"},
    "two claims for the path": {"user": {"id": 5}, "user.id": "alice"},
}


@pytest.fixture(scope="module")
def anonymous(service: Service, data_dir: Path) -> Iterator[AnonymousClient]:
    """Return a client of such a service, which accepts the secret and published keys."""
    assert service.process.poll() is None
    with JWKSServer(PAIR).running() as jwks_server:
        environment = {
            "DATA_DIR": str(data_dir),
            "BETTER_AUTH_SECRET": SECRET,
            "JWKS_URL": jwks_server.url,
            "JWT_USER_CLAIM": "user.id",
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
        }
        configured = Service(environment, data_dir / "user-claim.log")
        try:
            with AnonymousClient(configured.wait_until_healthy().url) as client:
                yield client
        finally:
            configured.stop()


def signed(sub: str | None = None, **claims: Any) -> list[str]:
    """Sign these claims with the shared secret, and with a published key."""
    return [hs256(sub, **claims), PAIR.token(sub, **claims)]


def test_the_user_is_read_from_the_configured_claim(anonymous: AnonymousClient) -> None:
    user = new_user_id()
    for text in signed(user={"id": user}, **VALID):
        header = {"Authorization": f"Bearer {text}"}
        created = anonymous.post("/api/tasks", headers=header, json={"title": "x"})
        assert created.json()["user_id"] == user
        assert anonymous.get(f"/api/{user}/tasks", headers=header).status_code == 200


def test_sub_is_ignored_if_another_claim_is_configured(anonymous: AnonymousClient) -> None:
    user, other = new_user_id(), new_user_id()
    for text in signed(sub=other, user={"id": user}, **VALID):
        header = {"Authorization": f"Bearer {text}"}
        assert anonymous.get(f"/api/{user}/tasks", headers=header).status_code == 200
        assert anonymous.get(f"/api/{other}/tasks", headers=header).status_code == 403


@pytest.mark.parametrize("name", OTHER_USERS)
def test_a_missing_or_invalid_user_claim_is_refused_without_fallback(
    anonymous: AnonymousClient, name: str
) -> None:
    for text in signed(sub="alice", **OTHER_USERS[name], **VALID):
        assert anonymous.unauthorized_details(text) == {INVALID}


@pytest.mark.parametrize(
    "audience", [AUDIENCE, [AUDIENCE], [ISSUER, AUDIENCE]], ids=["alone", "a list", "of two"]
)
def test_the_audience_is_a_string_or_in_a_list(
    anonymous: AnonymousClient, audience: object
) -> None:
    for text in signed(user={"id": new_user_id()}, iss=ISSUER, aud=audience):
        assert anonymous.list_tasks(text).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": ISSUER},
        {"aud": [ISSUER]},
        {"aud": []},
        {"aud": None},
        {"iss": AUDIENCE},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
    ],
    ids=str,
)
def test_another_issuer_or_audience_is_refused_with_either_key(
    anonymous: AnonymousClient, wrong: dict[str, Any]
) -> None:
    for text in signed(user={"id": new_user_id()}, **VALID | wrong):
        assert anonymous.unauthorized_details(text) == {INVALID}
