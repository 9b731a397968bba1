"""Tokens signed with published keys, over HTTP: who gets in, and who does not."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.anonymous import EXPIRED, INVALID, MALFORMED, AnonymousClient, unauthorized_detail
from harness.clients import new_user_id
from harness.clients import token as hs256
from harness.forgery import (
    HS256,
    base64url,
    claims_json,
    encode_part,
    forge_token,
    with_signature,
)
from harness.jwks_server import JWKSServer, KeyPair
from harness.operations import SECURED, request_operation
from harness.postgres import wait_until
from harness.service import SECRET, Serve, Service

pytest_plugins = ["harness.isolated_services"]

Sign = Callable[[bytes], bytes]
ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
PAIRS = {algorithm: KeyPair(algorithm) for algorithm in ALGORITHMS}
ED, ES, RS = PAIRS["EdDSA"], PAIRS["ES256"], PAIRS["RS256"]
MINE = KeyPair()
UNUSABLE: dict[str, KeyPair] = {
    "ES384": KeyPair("ES384"),
    "for encryption": KeyPair(),
    "for signing only": KeyPair(),
    "private": KeyPair("ES256"),
    "short": KeyPair("RS256", bits=1024),
    "named as another algorithm of its kind": KeyPair("ES256"),
    "named as another kind": KeyPair("RS256"),
    "of another's kid": KeyPair(kid=PAIRS["EdDSA"].kid),
    "without a point": KeyPair("ES512"),
}
NAMELESS = KeyPair()  # published without `alg`, as older versions may
SYMMETRIC = {"kty": "oct", "alg": "HS256", "k": base64url(b"published"), "kid": "symmetric"}

ENTRIES: list[Any] = [
    *(pair.jwk() for pair in PAIRS.values()),
    NAMELESS.jwk(alg=...),
    UNUSABLE["ES384"].jwk(),
    UNUSABLE["for encryption"].jwk(use="enc"),
    UNUSABLE["for signing only"].jwk(key_ops=["sign"]),
    UNUSABLE["private"].jwk(d=base64url(b"\1" * 32)),
    UNUSABLE["short"].jwk(),
    UNUSABLE["named as another algorithm of its kind"].jwk(alg="ES512"),
    UNUSABLE["named as another kind"].jwk(alg="EdDSA"),
    UNUSABLE["of another's kid"].jwk(),
    UNUSABLE["without a point"].jwk(x=base64url(b"\1" * 66)),
    SYMMETRIC,
    *(None, 5, "key", [], {}, {"kty": ["EC"]}, {"kty": "EC", "crv": {}}, {"kid": 5}),
]


@pytest.fixture(scope="module")
def jwks_server() -> Iterator[JWKSServer]:
    jwks_server = JWKSServer()
    jwks_server.publish(*ENTRIES)
    with jwks_server.running():
        yield jwks_server


@pytest.fixture(scope="module")
def both(
    service: Service,
    data_dir: Path,
    jwks_server: JWKSServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Run a service that knows the secret and the published keys, on the same database.

    Each has a log of its own: how often it is started depends on the tests' order.
    """
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": f"{jwks_server.origin}/",
        "LOG_LEVEL": "debug",
    }
    both = Service(environment, tmp_path_factory.mktemp("both") / "log")
    try:
        yield both.wait_until_healthy()
    finally:
        both.stop()


@pytest.fixture(scope="module")
def anonymous(both: Service) -> Iterator[AnonymousClient]:
    with AnonymousClient(both.url) as client:
        yield client


def pem(pair: KeyPair) -> bytes:
    public: bytes = pair.private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return public


def by_hand(header: dict[str, Any], sign: Sign = ED.private.sign) -> str:
    """Sign under any header, with a published Ed25519 key if not otherwise."""
    signing_input = f"{encode_part(header)}.{encode_part(claims_json())}"
    return f"{signing_input}.{base64url(sign(signing_input.encode()))}"


def by_es256_with_sha512(data: bytes) -> bytes:
    r, s = decode_dss_signature(ES.private.sign(data, ec.ECDSA(SHA512())))
    return r.to_bytes(32) + s.to_bytes(32)


def by_short_key(data: bytes) -> bytes:
    signature: bytes = UNUSABLE["short"].private.sign(data, PKCS1v15(), SHA256())
    return signature


def confused(key: Callable[[KeyPair], bytes], algorithm: str) -> Callable[[], str]:
    """Sign with HS256, and what everybody may know of a key pair (RFC 8725, 2.1)."""
    pair = PAIRS[algorithm]
    return lambda: forge_token(HS256 | {"kid": pair.kid}, key=key(pair))


def borrowed(algorithm: str, kid_of: str, **header: Any) -> Callable[[], str]:
    """Sign with a key of one's own, in the name of a key that is published."""
    return lambda: KeyPair(algorithm, kid=PAIRS[kid_of].kid).token(header=header)


FORGED: dict[str, Callable[[], str]] = {
    **{
        f"HS256 with the {name} of {algorithm}": confused(key, algorithm)
        for algorithm in ALGORITHMS
        for name, key in {
            "PEM": pem,
            "PEM without its last line break": lambda pair: pem(pair).strip(),
            "JWK": lambda pair: json.dumps(pair.jwk()).encode(),
        }.items()
    },
    "HS256 with the raw bytes of EdDSA": confused(
        lambda pair: pair.private.public_key().public_bytes_raw(), "EdDSA"
    ),
    "EdDSA announced, HS256 signed with our secret": lambda: forge_token(
        {"alg": "EdDSA", "kid": ED.kid}
    ),
    "PS256 with a key for RS256": lambda: RS.token(algorithm="PS256"),
    "RS256 with a key for PS256": lambda: PAIRS["PS256"].token(algorithm="RS256"),
    "RS384 with a key for RS256": lambda: RS.token(algorithm="RS384"),
    "ES512 with a key for ES256": lambda: by_hand(
        {"alg": "ES512", "kid": ES.kid}, by_es256_with_sha512
    ),
    "ES256 announced with a key for EdDSA": lambda: by_hand({"alg": "ES256", "kid": ED.kid}),
    "ES256 signed with SHA-512": lambda: by_hand(
        {"alg": "ES256", "kid": ES.kid}, by_es256_with_sha512
    ),
    **{
        f"a key of one's own in the name of {algorithm}": borrowed(algorithm, algorithm)
        for algorithm in ("EdDSA", "ES256", "ES512")
    },
    "the kid of another key": lambda: ED.token(header={"kid": ES.kid}),
    "the kid of another key of the same kind": lambda: ED.token(header={"kid": NAMELESS.kid}),
    "jwk beside the kid": borrowed("EdDSA", "EdDSA", jwk=MINE.jwk()),
    "a published key that has another's kid": UNUSABLE["of another's kid"].token,
    "alg none": lambda: by_hand({"alg": "none", "kid": ED.kid}),
    "alg in lower case": lambda: by_hand({"alg": "eddsa", "kid": ED.kid}),
    "alg a list": lambda: by_hand({"alg": ["EdDSA"], "kid": ED.kid}),
    "no alg": lambda: by_hand({"kid": ED.kid}),
    "kid a number": lambda: by_hand({"alg": "EdDSA", "kid": 0}),
    "kid a list": lambda: by_hand({"alg": "EdDSA", "kid": [ED.kid]}),
    "kid an object": lambda: by_hand({"alg": "EdDSA", "kid": {"kid": ED.kid}}),
    "crit unknown": lambda: by_hand({"alg": "EdDSA", "kid": ED.kid, "crit": ["x"], "x": 1}),
    "our secret under an unknown algorithm": lambda: with_signature(
        f"{encode_part({'alg': 'X'})}.e30"
    ),
    "a published key that is symmetric": lambda: with_signature(
        f"{encode_part(HS256 | {'kid': 'symmetric'})}.{encode_part(claims_json())}",
        b"published",
    ),
}

# For these another fetch is waited for, by all of them together.
UNKNOWN: dict[str, Callable[[], str]] = {
    **{
        f"a published key that is {name}": pair.token
        for name, pair in UNUSABLE.items()
        if name not in {"short", "of another's kid"}
    },
    "a published key that is short": lambda: by_hand(
        {"alg": "RS256", "kid": UNUSABLE["short"].kid}, by_short_key
    ),
    "jwk alone": lambda: MINE.token(header={"jwk": MINE.jwk(), "kid": None}),
    "jwk and its kid": lambda: MINE.token(header={"jwk": MINE.jwk()}),
    "no kid where two keys would fit": lambda: ED.token(header={"kid": None}),
    "no kid and nothing else": lambda: by_hand({"alg": "EdDSA"}, MINE.private.sign),
    **{
        f"kid {name}": partial(ED.token, header={"kid": kid})
        for name, kid in {
            "of nobody": new_user_id(),
            "empty": "",
            "a path": "../../../../etc/passwd",
            "a URL": "http://127.0.0.1:9/keys.json",
            "SQL": "x' OR '1'='1",
            "a NUL": "\0",
            "an escape sequence": "\x1b[31mred\r\nkeys: all is well",
            "of 8,000 characters": "k" * 8000,
            "in upper case": ED.kid.upper(),
            "and a space": f"{ED.kid} ",
            "the index of a key": "0",
        }.items()
    },
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_names_its_user(
    anonymous: AnonymousClient, algorithm: str
) -> None:
    user = new_user_id()
    header = {"Authorization": f"Bearer {PAIRS[algorithm].token(user)}"}
    created = anonymous.post("/api/tasks", headers=header, json={"title": algorithm})
    assert created.json()["user_id"] == user
    mine = anonymous.get(f"/api/{user}/tasks", headers=header)
    assert mine.json() == [created.json()]


def test_the_shared_secret_is_good_beside_them(anonymous: AnonymousClient) -> None:
    assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
    assert anonymous.list_tasks(forge_token(HS256 | {"kid": ED.kid})).status_code == 200


def test_a_key_without_an_algorithm_has_that_of_its_kind(anonymous: AnonymousClient) -> None:
    assert anonymous.list_tasks(NAMELESS.token()).status_code == 200


def test_a_token_without_kid_has_no_choice_of_keys(anonymous: AnonymousClient) -> None:
    for pair in (PAIRS["ES512"], PAIRS["PS256"], RS):
        assert anonymous.list_tasks(pair.token(header={"kid": None})).status_code == 200
    another = KeyPair("ES512").token(header={"kid": None})
    assert anonymous.unauthorized_details(another) == {INVALID}


@pytest.mark.parametrize("name", FORGED)
def test_no_operation_accepts_a_forged_token(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.unauthorized_details(FORGED[name]()) <= {MALFORMED, INVALID}


def test_no_key_that_is_unknown_or_unusable_lets_anybody_in(both: Service) -> None:
    tokens = {name: make() for name, make in UNKNOWN.items()}

    async def all_at_once() -> dict[str, httpx.Response]:
        async with httpx.AsyncClient(base_url=both.url, timeout=30, verify=False) as client:
            asked = [
                client.get("/api/tasks", headers={"Authorization": f"Bearer {text}"})
                for text in tokens.values()
            ]
            return dict(zip(tokens, await asyncio.gather(*asked), strict=True))

    answers = asyncio.run(all_at_once())
    assert {
        name: unauthorized_detail(answer) for name, answer in answers.items()
    } == dict.fromkeys(UNKNOWN, INVALID)


def test_an_address_in_a_header_is_never_asked(
    both: Service, anonymous: AnonymousClient
) -> None:
    assert both.process.poll() is None
    with JWKSServer(MINE).running() as mine:
        for header in ("jku", "x5u"):
            token = MINE.token(header={header: mine.url, "kid": ED.kid})
            assert anonymous.unauthorized_details(token) == {INVALID}
        assert mine.request_count == 0


def test_claims_are_checked_as_those_of_any_token(anonymous: AnonymousClient) -> None:
    assert anonymous.unauthorized_details(ED.token(exp=1)) == {EXPIRED}
    assert anonymous.unauthorized_details(ED.token(nbf=2**40)) == {INVALID}
    assert anonymous.unauthorized_details(ED.token(subject="")) == {INVALID}


def test_the_log_says_which_keys_are_left_out_and_no_token(both: Service) -> None:
    log = both.log.read_text()
    assert log.count("A published key is skipped: ") == len(ENTRIES) - len(PAIRS) - 1
    assert f"Better Auth publishes {len(PAIRS) + 1} keys at " in log
    assert base64url(b"\1" * 32) not in log
    assert "eyJ" not in log


def test_nobody_is_called_invalid_before_the_keys_were_ever_there(
    service: Service, data_dir: Path, serve: Serve
) -> None:
    jwks_server = JWKSServer(ED)
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "JWKS_URL": jwks_server.url,
    }
    with AnonymousClient(serve(environment).wait_until_healthy().url) as anonymous:
        for operation in SECURED:
            answer = request_operation(
                anonymous, operation, headers={"Authorization": f"Bearer {ED.token()}"}
            )
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "2"
            assert answer.json()["detail"].startswith(
                "The keys that verify tokens cannot be had"
            )
        assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
        assert anonymous.unauthorized_details(forge_token(key=b"another secret")) == {INVALID}
        assert anonymous.unauthorized_details("no-token") == {MALFORMED}
        with jwks_server.running():
            wait_until(lambda: anonymous.list_tasks(ED.token()).status_code == 200)
        assert anonymous.list_tasks(ED.token()).status_code == 200
        assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
