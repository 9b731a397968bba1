"""Claims: times and subjects, in tokens whose signatures are valid."""

import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from harness.anonymous import (
    EXPIRED,
    INVALID,
    MALFORMED,
    AnonymousClient,
    unauthorized_detail,
)
from harness.clients import AuthedClient, new_user_id
from harness.forgery import HS256, claims_json, forge_token
from harness.service import Service

LATER = int(time.time()) + 3600

INVALID_TIMES = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "1e999": "1e999",
    "-1e999": "-1e999",
    "a number of 5,000 digits": "9" * 5000,
    "negative": "-1",
    "a word": '"tomorrow"',
    "a number in a string": f'"{LATER}"',
    "a zero in a string": '"0"',
    "a date in a string": '"2099-01-01T00:00:00Z"',
    "an empty string": '""',
    "true": "true",
    "false": "false",
    "null": "null",
    "a list": f"[{LATER}]",
    "an object": "{}",
}

INVALID_SUBJECTS = {
    "null": "null",
    "a number": "5",
    "zero": "0",
    "true": "true",
    "false": "false",
    "a list": '["alice"]',
    "an empty list": "[]",
    "an object": '{"id": "alice"}',
    "empty": '""',
    "256 characters": f'"{"x" * 256}"',
    "10,000 characters": f'"{"x" * 10_000}"',
    "a NUL": r'"\u0000"',
    "a NUL at the end": r'"alice\u0000"',
    "a newline at the end": r'"alice\n"',
    "a tab": r'"\talice"',
    "a DEL": '"alice\x7f"',
    "a control character of Latin-1": r'"alice\u0085"',
    "an escape sequence": r'"\u001b[31malice"',
    "a lone surrogate": r'"\ud800"',
    "surrogates in the wrong order": r'"alice\udc00\ud800"',
}


def with_claim(name: str, text: str) -> Callable[[], str]:
    return lambda: forge_token(payload=claims_json(**{name: text}))


UNACCEPTABLE: dict[str, Callable[[], str]] = {
    **{
        f"{claim} {name}": with_claim(claim, text)
        for claim in ("exp", "nbf", "iat")
        for name, text in INVALID_TIMES.items()
    },
    **{f"sub {name}": with_claim("sub", text) for name, text in INVALID_SUBJECTS.items()},
    "no exp": lambda: forge_token(payload=claims_json(exp=None)),
    "no sub": lambda: forge_token(payload=claims_json(sub=None)),
    "sub in upper case": lambda: forge_token(payload=claims_json(sub=None, SUB='"alice"')),
    "id for sub": lambda: forge_token(
        payload=claims_json(sub=None, id='"alice"', user_id='"alice"')
    ),
    # Better Auth signs these with the same secret, but they do not authenticate a user.
    "an e-mail verification of Better Auth": lambda: forge_token(
        payload=claims_json(sub=None, email='"alice@example.org"', requestType='"change-email"')
    ),
    "a session of Better Auth without a user": lambda: forge_token(
        payload=claims_json(sub=None, session='{"userId":"alice"}', user="{}")
    ),
    "a user whose id is a number": lambda: forge_token(
        payload=claims_json(sub=None, user='{"id":5}')
    ),
    "a user with a good id beside an empty sub": lambda: forge_token(
        payload=claims_json(sub='""', user='{"id":"alice"}')
    ),
    "jti a number": with_claim("jti", "5"),
    "sub twice, the last bad": lambda: forge_token(payload=claims_json(sub='"alice","sub":""')),
    "exp twice, the last bad": lambda: forge_token(
        payload=claims_json(exp=f'{LATER},"exp":null')
    ),
    "payload empty object": lambda: forge_token(payload=b"{}"),
    "payload a list": lambda: forge_token(payload=[["sub", "alice"], ["exp", LATER]]),
    "payload a string": lambda: forge_token(payload=b'"alice"'),
    "payload a number": lambda: forge_token(payload=b"5"),
    "payload null": lambda: forge_token(payload=b"null"),
    "payload not JSON": lambda: forge_token(payload=b"sub=alice"),
    "payload truncated": lambda: forge_token(payload=claims_json()[:-1]),
    "payload of two objects": lambda: forge_token(payload=claims_json() + claims_json()),
    "payload not in UTF-8": lambda: forge_token(payload=b'{"sub":"\xff\xfe"}'),
    "payload compressed": lambda: forge_token(
        HS256 | {"zip": "DEF"}, b"x\x9c\xab\x56\x2a.\xd2\x51"
    ),
    "payload deeply nested": with_claim("x", "[" * 5000),
    "payload deeply nested, and closed": with_claim("x", "[" * 4000 + "]" * 4000),
    "payload with a number of 5,000 digits": with_claim("x", "9" * 5000),
}

VALID_SUBJECTS = {
    "one character": "x",
    "an id of Better Auth": "k7Qm2xVbN4tRzW9yLsD3fGhJ6pCaXe1u",
    "an e-mail address": "alice+todo@example.org",
    "an OpenID subject": "google-oauth2|108|%2F",
    "SQL": "'; DROP TABLE todo.tasks; --",
    "many scripts": "Ünï¢ødé 日本語 \N{PILE OF POO}",
    "255 characters outside the BMP": "\N{PILE OF POO}" * 255,
    "white space": " \N{NO-BREAK SPACE}\N{LINE SEPARATOR}",
    "a noncharacter": "\uffff",
    "a path": "../../etc/passwd",
    "a prefix of a path": "tasksmith",
    "JSON": '"}],\\',
}


@pytest.mark.parametrize("name", UNACCEPTABLE)
def test_no_operation_accepts_unacceptable_claims(
    anonymous: AnonymousClient, name: str
) -> None:
    assert anonymous.unauthorized_details(UNACCEPTABLE[name]()) <= {MALFORMED, EXPIRED, INVALID}


def test_the_session_cookie_of_better_auth_names_a_user_by_default(
    anonymous: AnonymousClient,
) -> None:
    text = forge_token(
        payload=claims_json(sub=None, session='{"userId":"eve"}', user='{"id":"alice"}')
    )
    header = {"Authorization": f"Bearer {text}"}
    assert anonymous.get("/api/alice/tasks", headers=header).status_code == 200
    assert anonymous.get("/api/eve/tasks", headers=header).status_code == 403


def test_sub_takes_precedence_over_the_session_cookies_claim(
    anonymous: AnonymousClient,
) -> None:
    text = forge_token(payload=claims_json(sub='"alice"', user='{"id":"eve"}'))
    header = {"Authorization": f"Bearer {text}"}
    assert anonymous.get("/api/alice/tasks", headers=header).status_code == 200
    assert anonymous.get("/api/eve/tasks", headers=header).status_code == 403


def test_a_token_that_names_nobody_is_logged_with_the_claims_looked_for(
    anonymous: AnonymousClient, service: Service
) -> None:
    text = forge_token(payload=claims_json(sub=None, email='"alice@example.org"'))
    before = len(service.log.read_text())
    assert unauthorized_detail(anonymous.list_tasks(text)) == INVALID
    log = service.log.read_text()[before:]
    assert "names no user by a claim sub, user.id." in log
    assert "alice@example.org" not in log
    assert text.rpartition(".")[2] not in log


@pytest.mark.parametrize("name", VALID_SUBJECTS)
def test_every_valid_user_id_is_accepted(
    make_client: Callable[[str], AuthedClient], name: str
) -> None:
    user = make_client(VALID_SUBJECTS[name])
    task = user.create_task()
    assert task["user_id"] == user.id
    assert task in user.list_tasks()
    assert task in user.get(f"/api/{quote(user.id, safe='')}/tasks").json()


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -5), ("nbf", 5), ("iat", 5)])
def test_small_clock_skew_is_tolerated(
    anonymous: AnonymousClient, claim: str, seconds: int
) -> None:
    token = forge_token(payload=claims_json(**{claim: str(int(time.time()) + seconds)}))
    assert anonymous.list_tasks(token).status_code == 200


@pytest.mark.parametrize(
    ("claim", "seconds", "reason"),
    [("exp", -60, EXPIRED), ("nbf", 60, INVALID), ("iat", 60, INVALID)],
)
def test_large_clock_skew_is_refused(
    anonymous: AnonymousClient, claim: str, seconds: int, reason: str
) -> None:
    token = forge_token(payload=claims_json(**{claim: str(int(time.time()) + seconds)}))
    assert anonymous.unauthorized_details(token) == {reason}


def test_an_expired_token_with_a_bad_signature_is_invalid_not_expired(
    anonymous: AnonymousClient,
) -> None:
    token = forge_token(payload=claims_json(exp="1"), key=b"another secret")
    assert anonymous.unauthorized_details(token) == {INVALID}


@pytest.mark.parametrize(
    "times",
    [
        {"exp": f"{LATER}.5"},
        {"exp": f"{LATER}.0", "iat": "1.5e9", "nbf": "1.5e9"},
        {"iat": "0", "nbf": "0"},
        {"iat": None},
        {"exp": "253402300799"},
    ],
    ids=["a fraction", "an exponent", "zero", "no iat", "the year 9999"],
)
def test_times_may_be_any_json_number(
    anonymous: AnonymousClient, times: dict[str, str]
) -> None:
    assert anonymous.list_tasks(forge_token(payload=claims_json(**times))).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"aud": '"https://todo.example"', "iss": '"https://todo.example"'},
        {"aud": '["a", "b"]'},
        {"aud": "5", "iss": "{}"},
        {"email": '"alice@example.org"', "name": '"Alice"', "id": '"alice"', "jti": '"1"'},
        {"image": f'"{"x" * 8000}"'},
        {"x": "[" * 50 + "]" * 50},
    ],
    ids=" ".join,
)
def test_other_claims_are_ignored(anonymous: AnonymousClient, more: dict[str, str]) -> None:
    assert anonymous.list_tasks(forge_token(payload=claims_json(**more))).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "jwt"},
        {"alg": "HS256", "typ": "at+jwt"},
        {"alg": "HS256", "typ": "JWT", "kid": "v1", "cty": "json", "x-more": [1]},
    ],
    ids=str,
)
def test_other_jose_headers_are_ignored(
    anonymous: AnonymousClient, header: dict[str, object]
) -> None:
    assert anonymous.list_tasks(forge_token(header)).status_code == 200


def test_the_last_of_duplicate_subjects_counts(
    make_client: Callable[[str], AuthedClient], alice: AuthedClient
) -> None:
    """RFC 7519, 4: a parser refuses duplicates, or takes the last one."""
    task = alice.create_task()
    bob = new_user_id()
    token = forge_token(payload=claims_json(sub=f'"{alice.id}","sub":"{bob}"'))
    both = make_client(bob)
    both.headers["Authorization"] = f"Bearer {token}"
    assert both.list_tasks() == []
    assert both.get(f"/api/tasks/{task['id']}").status_code == 403
