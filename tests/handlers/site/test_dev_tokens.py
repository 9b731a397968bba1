"""Tokens at a click: for the page /docs in development, and for nobody else, nowhere else."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

import settings
from app import DEVELOPMENT
from cli import is_development
from handlers.site.dev_tokens import USERS
from harness.anonymous import AnonymousClient
from harness.service import SECRET, Service

OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
PATHS = [f"/docs/token/{user}" for user in USERS]


@pytest.fixture
def visitor(dev_service: Service) -> Iterator[AnonymousClient]:
    """Return somebody without a token, where one is offered."""
    with AnonymousClient(dev_service.url) as client:
        yield client


@pytest.mark.parametrize("user", USERS)
def test_the_page_gets_a_token_that_is_good_for_an_hour(
    visitor: AnonymousClient, user: str
) -> None:
    answer = visitor.post(f"/docs/token/{user}", headers=OUR_PAGE)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == user
    assert timedelta(seconds=claims["exp"] - claims["iat"]) == timedelta(hours=1)
    assert visitor.list_tasks(token).status_code == 200


ELSEWHERE = {
    "another website": {"Sec-Fetch-Site": "cross-site"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site"},
    "a bookmark": {"Sec-Fetch-Site": "none"},
    "no browser": {},
    "a name made to lead here": OUR_PAGE | {"Host": "evil.example"},
    "the same with a port": OUR_PAGE | {"Host": "evil.example:8000"},
    "a name that only begins well": OUR_PAGE | {"Host": "localhost.evil.example"},
    "a user of that name": OUR_PAGE | {"Host": "localhost@evil.example"},
    "an address of the network": OUR_PAGE | {"Host": "192.0.2.1"},
    "hardly a host": OUR_PAGE | {"Host": "[localhost"},
    "no host": OUR_PAGE | {"Host": ""},
}


@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("path", PATHS)
def test_whoever_else_asks_gets_none(visitor: AnonymousClient, path: str, how: str) -> None:
    answer = visitor.post(path, headers=ELSEWHERE[how])
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/forbidden"
    assert "token" not in answer.json()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
def test_this_machine_may_be_called_by_each_of_its_names(
    visitor: AnonymousClient, host: str
) -> None:
    assert visitor.post(PATHS[0], headers=OUR_PAGE | {"Host": host}).status_code == 201


def test_an_origin_that_may_use_the_api_gets_no_token(visitor: AnonymousClient) -> None:
    frontend = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    assert visitor.post(PATHS[0], headers=frontend).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_token_is_asked_for_by_post(visitor: AnonymousClient, method: str) -> None:
    answer = visitor.request(method, PATHS[0], headers=OUR_PAGE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_nobody_else_than_alice_and_bob_can_be_had(visitor: AnonymousClient) -> None:
    for user in ("carol", "", "alice/x", "%00"):
        assert visitor.post(f"/docs/token/{user}", headers=OUR_PAGE).status_code == 404


# Where there are none


def test_without_development_there_is_nothing_to_ask(anonymous: AnonymousClient) -> None:
    """The service has a secret of its own, as in production."""
    for path in PATHS:
        for method in ("GET", "POST"):
            answer = anonymous.request(method, path, headers=OUR_PAGE)
            assert answer.status_code == 404
    assert "data-user" not in anonymous.get("/docs").text


def test_with_development_the_page_offers_both(visitor: AnonymousClient) -> None:
    page = visitor.get("/docs").text
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
def test_what_is_reached_or_trusted_by_others_is_no_development(
    environment: dict[str, str],
) -> None:
    assert not is_development(settings.load(environment))


@pytest.mark.parametrize("host", ["", "127.0.0.1", "::1", "localhost"])
def test_a_machine_by_itself_is_development(host: str) -> None:
    assert is_development(settings.load({"HOST": host}))


def test_nobody_can_switch_it_on_from_outside(data_dir: Path) -> None:
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        DEVELOPMENT: "true",
    }
    service = Service(environment, data_dir / "switched-on.log").wait_until_healthy()
    try:
        with AnonymousClient(service.url) as anonymous:
            assert anonymous.post(PATHS[0], headers=OUR_PAGE).status_code == 404
    finally:
        service.stop()
