"""Development tokens: issued to the page /docs in development mode, and to nothing else."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

import settings
from app import DEVELOPMENT
from cli.development import is_development
from handlers.site.dev_tokens import USERS
from harness.anonymous import AnonymousClient
from harness.service import SECRET, Service

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
PATHS = [f"/docs/token/{user}" for user in USERS]


@pytest.fixture
def dev_client(dev_service: Service) -> Iterator[AnonymousClient]:
    """Return a client without a token, of a service in development mode."""
    with AnonymousClient(dev_service.url) as client:
        yield client


@pytest.mark.parametrize("user", USERS)
def test_the_page_gets_a_token_that_is_valid_for_an_hour(
    dev_client: AnonymousClient, user: str
) -> None:
    response = dev_client.post(f"/docs/token/{user}", headers=SAME_ORIGIN)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    token = response.json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == user
    assert timedelta(seconds=claims["exp"] - claims["iat"]) == timedelta(hours=1)
    assert dev_client.list_tasks(token).status_code == 200


FOREIGN_REQUESTS = {
    "another website": {"Sec-Fetch-Site": "cross-site"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site"},
    "a bookmark": {"Sec-Fetch-Site": "none"},
    "not a browser": {},
    "DNS rebinding": SAME_ORIGIN | {"Host": "evil.example"},
    "DNS rebinding with a port": SAME_ORIGIN | {"Host": "evil.example:8000"},
    "localhost as a subdomain": SAME_ORIGIN | {"Host": "localhost.evil.example"},
    "localhost as a user name": SAME_ORIGIN | {"Host": "localhost@evil.example"},
    "a network address": SAME_ORIGIN | {"Host": "192.0.2.1"},
    "a malformed host": SAME_ORIGIN | {"Host": "[localhost"},
    "no host": SAME_ORIGIN | {"Host": ""},
}


@pytest.mark.parametrize("how", FOREIGN_REQUESTS)
@pytest.mark.parametrize("path", PATHS)
def test_a_request_from_elsewhere_gets_no_token(
    dev_client: AnonymousClient, path: str, how: str
) -> None:
    response = dev_client.post(path, headers=FOREIGN_REQUESTS[how])
    assert response.status_code == 403
    assert response.json()["type"] == "/problems/forbidden"
    assert "token" not in response.json()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
def test_every_name_of_the_loopback_interface_is_accepted(
    dev_client: AnonymousClient, host: str
) -> None:
    assert dev_client.post(PATHS[0], headers=SAME_ORIGIN | {"Host": host}).status_code == 201


def test_an_allowed_cors_origin_gets_no_token(dev_client: AnonymousClient) -> None:
    frontend = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    assert dev_client.post(PATHS[0], headers=frontend).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_tokens_are_only_issued_by_post(dev_client: AnonymousClient, method: str) -> None:
    response = dev_client.request(method, PATHS[0], headers=SAME_ORIGIN)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_tokens_are_only_issued_for_alice_and_bob(dev_client: AnonymousClient) -> None:
    for user in ("carol", "", "alice/x", "%00"):
        assert dev_client.post(f"/docs/token/{user}", headers=SAME_ORIGIN).status_code == 404


# Outside development mode


def test_outside_development_mode_no_token_is_issued(anonymous: AnonymousClient) -> None:
    """The service has a secret, as in production."""
    for path in PATHS:
        for method in ("GET", "POST"):
            response = anonymous.request(method, path, headers=SAME_ORIGIN)
            assert response.status_code == 404
    assert "data-user" not in anonymous.get("/docs").text


def test_in_development_mode_the_page_offers_both_users(dev_client: AnonymousClient) -> None:
    page = dev_client.get("/docs").text
    for user in USERS:
        assert f'data-user="{user}"' in page


@pytest.mark.parametrize(
    "environment",
    [
        {"BETTER_AUTH_SECRET": SECRET},
        {"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": "postgresql://db/todo"},
        {"HOST": "0.0.0.0"},
        {"HOST": "::"},
        {"HOST": "192.0.2.1"},
        {"HOST": "todo.example"},
    ],
)
def test_a_public_or_configured_service_is_not_in_development_mode(
    environment: dict[str, str],
) -> None:
    assert not is_development(settings.load(environment))


@pytest.mark.parametrize("host", ["", "127.0.0.1", "::1", "localhost"])
def test_a_loopback_service_without_a_secret_is_in_development_mode(host: str) -> None:
    assert is_development(settings.load({"HOST": host}))


def test_the_environment_cannot_enable_development_mode(data_dir: Path) -> None:
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        DEVELOPMENT: "true",
    }
    service = Service(environment, data_dir / "switched-on.log").wait_until_healthy()
    try:
        with AnonymousClient(service.url) as anonymous:
            assert anonymous.post(PATHS[0], headers=SAME_ORIGIN).status_code == 404
    finally:
        service.stop()
