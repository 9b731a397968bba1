"""A key set: which of its keys are used, and which of them a token's header names."""

from typing import Any

import orjson
import pytest

from handlers.auth.key_set import KeySet
from harness.forgery import base64url
from harness.jwks_server import KeyPair

PAIR = KeyPair()


@pytest.mark.parametrize("published", ["EdDSA", "Ed25519", ...], ids=str)
def test_a_key_on_the_curve_ed25519_is_found_under_both_names_of_its_algorithm(
    published: object,
) -> None:
    keys = KeySet(orjson.dumps({"keys": [PAIR.jwk(alg=published)]}))
    for name in ("EdDSA", "Ed25519", "EdDSA"):
        for header in ({"alg": name}, {"alg": name, "kid": PAIR.kid}):
            key = keys.find(header)
            assert key is not None
            assert key.key_id == PAIR.kid
            assert key.algorithm_name == name


def test_a_key_keeps_its_algorithm_whatever_a_header_says() -> None:
    pair = KeyPair("ES256")
    keys = KeySet(orjson.dumps({"keys": [pair.jwk()]}))
    assert keys.find({"alg": "Ed25519"}) is None
    key = keys.find({"alg": "Ed25519", "kid": pair.kid})
    assert key is not None
    assert key.algorithm_name == "ES256"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("a key", "it is not an object"),
        ({}, "its type or algorithm is not accepted"),
        (PAIR.jwk(kid=5), "its kid is not a string"),
        (PAIR.jwk(d=base64url(b"private")), "it is a private key"),
        (PAIR.jwk(use="enc"), "it is not for signatures"),
        (PAIR.jwk(key_ops=["sign"]), "it is not for verifying"),
        (PAIR.jwk(key_ops="verify"), "it is not for verifying"),
        (PAIR.jwk(kty="RSA"), "its type or algorithm is not accepted"),
        (PAIR.jwk(crv="Ed448", alg="EdDSA"), "its type or algorithm is not accepted"),
        (PAIR.jwk(crv=..., alg=...), "its type or algorithm is not accepted"),
    ],
)
def test_a_key_that_cannot_be_used_is_skipped_and_logged(
    entry: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = KeyPair()
    keys = KeySet(orjson.dumps({"keys": [entry, other.jwk()]}))
    assert len(keys) == 1
    assert keys.find({"alg": "EdDSA", "kid": other.kid})
    assert caplog.messages == [f"A published key is skipped: {reason}."]


def test_of_two_keys_with_one_kid_the_first_is_used(caplog: pytest.LogCaptureFixture) -> None:
    second = KeyPair("ES256", kid=PAIR.kid)
    keys = KeySet(orjson.dumps({"keys": [PAIR.jwk(), second.jwk()]}))
    assert keys.find({"alg": "ES256"}) is None
    assert caplog.messages == ["A published key is skipped: its kid is not unique."]


def test_a_member_that_is_null_counts_as_missing() -> None:
    nothing = dict.fromkeys(("alg", "d", "key_ops", "kid", "use"))
    keys = KeySet(orjson.dumps({"keys": [PAIR.jwk(**nothing)]}))
    assert keys.find({"alg": "EdDSA"})


def test_keys_without_a_kid_do_not_exclude_each_other() -> None:
    pairs = (KeyPair(), KeyPair("ES256"))
    keys = KeySet(orjson.dumps({"keys": [pair.jwk(kid=...) for pair in pairs]}))
    assert keys.find({"alg": "EdDSA"})
    assert keys.find({"alg": "ES256"})


def rsa_key(bits: int) -> dict[str, Any]:
    """Return a public key of this size; nobody has checked that its modulus is one."""
    modulus = 2 ** (bits - 1) + 1
    n = base64url(modulus.to_bytes((bits + 7) // 8))
    return {"kty": "RSA", "n": n, "e": "AQAB"}


@pytest.mark.parametrize(("bits", "usable"), [(2047, 0), (2048, 1), (8192, 1), (8193, 0)])
def test_an_rsa_key_has_2048_to_8192_bits(
    bits: int, usable: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(KeySet(orjson.dumps({"keys": [rsa_key(bits)]}))) == usable
    skipped = [f"A published key is skipped: it has {bits} bits."]
    assert caplog.messages == ([] if usable else skipped)


def test_an_rsa_key_without_alg_is_for_rs256_only() -> None:
    keys = KeySet(orjson.dumps({"keys": [rsa_key(2048)]}))
    assert keys.find({"alg": "RS256"})
    assert keys.find({"alg": "PS256"}) is None
