"""A key set: which of its keys a token's header names, and for which algorithm."""

import orjson
import pytest

from handlers.auth.key_set import KeySet
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
