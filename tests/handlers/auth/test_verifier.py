"""The parts of verification that need no service: headers, claims, and which key is used."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from handlers.auth import BearerAuth, Forbidden, UserBlocked, bearer_token
from handlers.auth.keys import KeyRing, SharedSecrets
from handlers.auth.verifier import (
    EXPIRED,
    INVALID,
    LEEWAY_SECONDS,
    MALFORMED,
    MAX_SUBJECT,
    MAX_TOKEN,
    MISSING,
    Claims,
    InvalidToken,
    TokenVerifier,
    claim_at,
    is_numeric_date,
    is_user_id,
)

SECRET = b"a secret of the tests that is long enough"
PREVIOUS = b"the secret of the tests before this one"


@pytest.mark.parametrize("value", [b"Bearer a", b"bearer a", b"BEARER a", b"Bearer   a "])
def test_a_token_follows_its_scheme(value: bytes) -> None:
    assert bearer_token([(b"cookie", b"Bearer b"), (b"authorization", value)]) == "a"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], MISSING),
        ([b"Basic a"], MISSING),
        ([b"a"], MISSING),
        ([b""], MISSING),
        ([b"Bearer a", b"Bearer a"], MALFORMED),
        ([b"", b"Bearer a"], MALFORMED),
    ],
)
def test_without_exactly_one_bearer_token_there_is_none(
    values: list[bytes], reason: str
) -> None:
    with pytest.raises(InvalidToken, match=f"^{reason}$"):
        bearer_token([(b"authorization", value) for value in values])


class Verifier:
    """Accepts every token."""

    async def verify(self, token: str) -> Claims:
        return {"sub": token}


def authenticated(path_user: str | None, *blocked: str) -> Claims:
    headers = [(b"authorization", b"Bearer alice")]
    scope = {"headers": headers, "state": {"path_user": path_user}}
    return asyncio.run(BearerAuth(Verifier(), blocked).bearer_auth(scope))


def test_the_user_in_the_path_must_be_that_of_the_token() -> None:
    assert authenticated(None) == authenticated("alice") == {"sub": "alice"}
    for other in ("bob", "Alice", ""):
        with pytest.raises(Forbidden):
            authenticated(other)


def test_a_blocked_user_is_refused_whatever_the_path() -> None:
    assert authenticated(None, "bob", "Alice") == {"sub": "alice"}
    for path_user in (None, "alice", "bob"):
        with pytest.raises(UserBlocked):
            authenticated(path_user, "bob", "alice")


@pytest.mark.parametrize(
    ("subject", "accepted"),
    [
        ("a", True),
        (MAX_SUBJECT * "é", True),
        ("\N{ZERO WIDTH JOINER} 😀", True),
        ("", False),
        ((MAX_SUBJECT + 1) * "a", False),
        ("a\0", False),
        ("a\nb", False),
        ("\x85", False),
        ("\ud800", False),
        (1, False),
        (None, False),
        (["a"], False),
    ],
)
def test_a_user_id_is_a_text_of_1_to_255_characters(subject: object, accepted: object) -> None:
    assert is_user_id(subject) is accepted


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (0, True),
        (1.5, True),
        (10**10, True),
        (-1, False),
        (-0.5, False),
        (True, False),
        (False, False),
        ("1", False),
        (None, False),
    ],
)
def test_a_date_is_a_number_that_is_not_negative(value: object, accepted: object) -> None:
    assert is_numeric_date(value) is accepted


def test_a_claim_is_found_through_nested_objects() -> None:
    claims = {"user": {"id": "alice"}, "sub": "bob", "list": [{"id": "carol"}]}
    assert claim_at(("sub",), claims) == "bob"
    assert claim_at(("user", "id"), claims) == "alice"
    assert claim_at((), claims) is claims
    for path in (("id",), ("sub", "id"), ("list", "id"), ("user", "id", "x"), ("no", "id")):
        assert claim_at(path, claims) is None


def verified(token: str) -> Claims:
    return asyncio.run(TokenVerifier(SharedSecrets(SECRET)).verify(token))


def token_of(length: int) -> str:
    """Return a valid token of so many characters."""
    for filler in range(length):  # base64 skips one length in four, the header closes the gap
        header = {"x": filler % 4 * "x"}
        for size in range(max(0, length * 3 // 4 - 300), length):
            claims = {"sub": "alice", "exp": 2**33, "filler": size * "x"}
            token = jwt.encode(claims, SECRET, headers=header)
            if len(token) == length:
                return token
            if len(token) > length:
                break
    raise AssertionError(length)


def test_the_longest_token_has_16384_characters() -> None:
    assert MAX_TOKEN == 16_384
    assert verified(token_of(MAX_TOKEN))["sub"] == "alice"
    with pytest.raises(InvalidToken, match=MALFORMED):
        verified(token_of(MAX_TOKEN + 1))


class Keys:
    """A source of keys that records what it is asked for."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.asked: list[Any] = []

    async def keys_for(self, header: Any) -> tuple[jwt.PyJWK, ...]:
        self.asked.append(header.get("alg"))
        raise jwt.InvalidKeyError


def test_the_secret_is_for_hs256_and_published_keys_for_everything_else() -> None:
    secret, published = Keys(1), Keys(2)
    keys = KeyRing(secret, published)
    for header in ({"alg": "HS256"}, {"alg": "EdDSA"}, {"alg": "HS512"}, {}):
        with pytest.raises(jwt.InvalidKeyError):
            asyncio.run(keys.keys_for(header))
    assert secret.asked == ["HS256"]
    assert published.asked == ["EdDSA", "HS512", None]
    assert keys.version == 2


@pytest.mark.parametrize("alg", ["HS512", "RS256", "none", None, "hs256"])
def test_the_secret_has_no_other_algorithm(alg: str | None) -> None:
    with pytest.raises(jwt.InvalidKeyError):
        asyncio.run(SharedSecrets(SECRET).keys_for({"alg": alg}))


def signed(secret: bytes = SECRET, /, **claims: Any) -> str:
    """Return a token; a claim that is None is left out."""
    payload = {"sub": "alice", "exp": 2**33} | claims
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, secret)


def reason(token: str, *secrets: bytes, **settings: Any) -> str | None:
    """Return why a token is not accepted, by default with SECRET; None if it is."""
    verifier = TokenVerifier(SharedSecrets(*secrets or (SECRET,)), **settings)
    try:
        claims = asyncio.run(verifier.verify(token))
    except InvalidToken as refused:
        return str(refused)
    assert claims["sub"] == "alice"
    return None


def test_the_reason_says_what_is_wrong_with_a_token() -> None:
    token = signed()
    header, payload, signature = token.split(".")
    assert reason(token) is None
    for malformed in (
        "",
        "a",
        f"{header}.{payload}",
        f"{token}.",
        f"{token}\n",
        f"{header}.{payload}.{signature}!",  # PyJWT's decoder would skip the character
        f"{header}.{payload}.{signature}=",
        f" {token}",
        f"a.{payload}.{signature}",
    ):
        assert reason(malformed) == MALFORMED
    assert reason(signed(exp=1)) == EXPIRED
    assert reason(signed(b"another secret that is just as long as it")) == INVALID
    assert reason(signed(b"another secret that is just as long as it", exp=1)) == INVALID


def test_either_secret_is_accepted_and_the_reason_is_that_of_the_one_that_signed() -> None:
    keys = (SECRET, PREVIOUS)
    for secret in keys:
        assert reason(signed(secret), *keys) is None
        assert reason(signed(secret, exp=1), *keys) == EXPIRED
        assert reason(signed(secret, nbf=2**33), *keys) == INVALID
        assert reason(jwt.api_jws.encode(b"not JSON", secret), *keys) == MALFORMED
    assert reason(signed(b"a third secret, which is as long as they are"), *keys) == INVALID
    header, payload, _ = signed().split(".")
    assert reason(f"{header}.{payload}.a", *keys) == MALFORMED
    assert reason(jwt.encode({"exp": 2**33}, PREVIOUS + SECRET, "HS512"), *keys) == INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "8589934592"},
        {"nbf": 2**33},
        {"iat": 2**33},
        {"nbf": "1"},
        {"iat": True},
        {"nbf": -1},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
    ],
    ids=str,
)
def test_claims_that_are_missing_or_wrong_make_a_token_invalid(claims: Any) -> None:
    assert reason(signed(**claims)) == INVALID


def test_clocks_may_differ_by_ten_seconds() -> None:
    now = int(time.time())
    assert reason(signed(exp=now - LEEWAY_SECONDS + 100)) is None
    assert reason(signed(exp=now - LEEWAY_SECONDS)) == EXPIRED
    assert reason(signed(nbf=now + LEEWAY_SECONDS, iat=now + LEEWAY_SECONDS)) is None
    assert reason(signed(nbf=now + LEEWAY_SECONDS + 100)) == INVALID
    assert LEEWAY_SECONDS == 10
    assert MAX_SUBJECT == 255


@pytest.mark.parametrize(("name", "claim"), [("issuer", "iss"), ("audience", "aud")])
def test_issuer_and_audience_are_checked_only_if_they_are_set(name: str, claim: str) -> None:
    right, wrong, missing = signed(**{claim: "us"}), signed(**{claim: "them"}), signed()
    for token in (right, wrong, missing):
        assert reason(token) is None
    assert reason(right, **{name: "us"}) is None
    for token in (wrong, missing):
        assert reason(token, **{name: "us"}) == INVALID


def test_the_user_is_taken_from_the_claim_of_the_setting() -> None:
    token = signed(sub="bob", user={"id": "alice"})
    assert reason(token, user_claims=(("user", "id"),)) is None
    assert reason(signed(), user_claims=(("user", "id"),)) == INVALID


def test_the_user_is_the_first_claim_that_a_token_has() -> None:
    either = (("user", "id"), ("sub",))
    assert reason(signed(sub="bob", user={"id": "alice"}), user_claims=either) is None
    assert reason(signed(), user_claims=either) is None
    assert reason(signed(user={"id": ""}), user_claims=either) == INVALID
