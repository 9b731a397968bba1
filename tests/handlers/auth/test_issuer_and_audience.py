"""A service configured with an issuer, an audience and a secret that is not ASCII."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.anonymous import (
    EXPIRED,
    INVALID,
    AnonymousClient,
    assert_does_not_leak,
    contains_no_part_of,
)
from harness.clients import new_user_id
from harness.forgery import HS256, claims_json, forge_token
from harness.service import SECRET, Service

ISSUER = "https://todo.example"
AUDIENCE = "https://api.todo.example"
KEY_TEXT = "Grüße aus Zürich: 秘密, c2VjcmV0= und mehr"
KEY = KEY_TEXT.encode()
VALID = {"iss": f'"{ISSUER}"', "aud": f'"{AUDIENCE}"'}

OTHER_AUDIENCES = {
    "none": None,
    "null": "null",
    "empty": '""',
    "an empty list": "[]",
    "another": '"https://admin.todo.example"',
    "several others": '["https://admin.todo.example", "https://todo.example"]',
    "a prefix": '"https://api.todo"',
    "a trailing slash": f'"{AUDIENCE}/"',
    "upper case": f'"{AUDIENCE.upper()}"',
    "a wildcard": '"*"',
    "two audiences in one string": f'"{AUDIENCE} https://todo.example"',
    "a nested list": f'[["{AUDIENCE}"]]',
    "a list with a number": f'["{AUDIENCE}", 5]',
    "an object": f'{{"{AUDIENCE}": true}}',
    "a number": "5",
    "true": "true",
}

OTHER_ISSUERS = {
    "none": None,
    "null": "null",
    "empty": '""',
    "another": '"https://evil.example"',
    "a prefix": '"https://todo"',
    "a trailing slash": f'"{ISSUER}/"',
    "upper case": f'"{ISSUER.upper()}"',
    "a list": f'["{ISSUER}"]',
    "an object": f'{{"{ISSUER}": true}}',
    "true": "true",
}

OTHER_KEYS = {
    "another service's secret": SECRET.encode(),
    "the secret in Latin-1": KEY_TEXT.encode("latin-1", "replace"),
    "the secret in UTF-16": KEY_TEXT.encode("utf-16"),
    "the secret, decomposed": unicodedata.normalize("NFD", KEY_TEXT).encode(),
    "the secret escaped as JSON": json.dumps(KEY_TEXT).strip('"').encode(),
    "a newline after the secret": KEY + b"\n",
}


@pytest.fixture(scope="module")
def configured(service: Service, data_dir: Path) -> Iterator[Service]:
    """Run a second service on the same database, logging at debug level."""
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": KEY_TEXT,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "LOG_LEVEL": "debug",
        "ACCESS_LOG": "true",
    }
    configured = Service(environment, data_dir / "issuer-and-audience.log")
    try:
        yield configured.wait_until_healthy()
    finally:
        configured.stop()


@pytest.fixture(scope="module")
def anonymous(configured: Service) -> Iterator[AnonymousClient]:
    with AnonymousClient(configured.url) as client:
        yield client


def minted(key: bytes = KEY, **texts: str | None) -> str:
    return forge_token(payload=claims_json(**VALID | texts), key=key)


@pytest.mark.parametrize(
    "audience",
    [f'"{AUDIENCE}"', f'["{AUDIENCE}"]', f'["https://todo.example", "{AUDIENCE}"]'],
    ids=["a string", "a list", "a longer list"],
)
def test_the_audience_is_a_string_or_in_a_list(
    anonymous: AnonymousClient, audience: str
) -> None:
    assert anonymous.list_tasks(minted(aud=audience)).status_code == 200


@pytest.mark.parametrize("name", OTHER_AUDIENCES)
def test_a_token_for_another_audience_is_refused(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.unauthorized_details(minted(aud=OTHER_AUDIENCES[name])) == {INVALID}


@pytest.mark.parametrize("name", OTHER_ISSUERS)
def test_a_token_of_another_issuer_is_refused(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.unauthorized_details(minted(iss=OTHER_ISSUERS[name])) == {INVALID}


@pytest.mark.parametrize("name", OTHER_KEYS)
def test_the_secret_is_used_as_its_utf_8_bytes(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.list_tasks(minted()).status_code == 200
    assert anonymous.unauthorized_details(minted(OTHER_KEYS[name])) == {INVALID}


def test_an_expired_token_is_still_reported_as_expired(anonymous: AnonymousClient) -> None:
    assert anonymous.unauthorized_details(minted(exp="1")) == {EXPIRED}


def test_no_token_is_logged_at_debug_level(
    configured: Service, anonymous: AnonymousClient
) -> None:
    good = forge_token(HS256 | {"kid": new_user_id()}, claims_json(**VALID), key=KEY)
    for text in (good, f"{good}="):
        for header in ({"Authorization": f"Bearer {text}"}, {"Cookie": f"token={text}"}):
            query = {"access_token": text}
            response = anonymous.get("/api/tasks", headers=header, params=query)
            assert_does_not_leak(good, response)
            assert response.headers["x-request-id"] in configured.log.read_text()
    log = configured.log.read_text()
    assert contains_no_part_of(good, log)
    assert KEY_TEXT not in log
