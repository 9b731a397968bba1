"""Tokens signed with published keys, over HTTP: which are accepted and which refused."""

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
from harness.service import NO_TLS, SECRET, Serve, Service

pytest_plugins = ["harness.isolated_services"]

Sign = Callable[[bytes], bytes]
ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
PAIRS = {algorithm: KeyPair(algorithm) for algorithm in ALGORITHMS}
ED, ES, RS = PAIRS["EdDSA"], PAIRS["ES256"], PAIRS["RS256"]
UNPUBLISHED = KeyPair()
UNUSABLE: dict[str, KeyPair] = {
    "ES384": KeyPair("ES384"),
    "for encryption": KeyPair(),
    "for signing only": KeyPair(),
    "private": KeyPair("ES256"),
    "short": KeyPair("RS256", bits=1024),
    "with another alg of its type": KeyPair("ES256"),
    "with an alg of another type": KeyPair("RS256"),
    "Ed25519 for another curve": KeyPair("ES256"),
    "with the kid of another": KeyPair(kid=PAIRS["EdDSA"].kid),
    "without a point": KeyPair("ES512"),
}
WITHOUT_ALG = KeyPair()  # published without `alg`, as older versions may
ED25519 = KeyPair()  # published under the name of RFC 9864
SYMMETRIC = {"kty": "oct", "alg": "HS256", "k": base64url(b"published"), "kid": "symmetric"}

ENTRIES: list[Any] = [
    *(pair.jwk() for pair in PAIRS.values()),
    WITHOUT_ALG.jwk(alg=...),
    ED25519.jwk(alg="Ed25519"),
    UNUSABLE["ES384"].jwk(),
    UNUSABLE["for encryption"].jwk(use="enc"),
    UNUSABLE["for signing only"].jwk(key_ops=["sign"]),
    UNUSABLE["private"].jwk(d=base64url(b"\1" * 32)),
    UNUSABLE["short"].jwk(),
    UNUSABLE["with another alg of its type"].jwk(alg="ES512"),
    UNUSABLE["with an alg of another type"].jwk(alg="EdDSA"),
    UNUSABLE["Ed25519 for another curve"].jwk(alg="Ed25519"),
    UNUSABLE["with the kid of another"].jwk(),
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
def jwks_service(
    service: Service,
    data_dir: Path,
    jwks_server: JWKSServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Run a service with the shared secret and published keys, on the same database.

    Each start gets its own log file, since the order of the tests decides how many there are.
    """
    assert service.process.poll() is None
    environment = {
        "DATA_DIR": str(data_dir),
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": f"{jwks_server.origin}/",
        "LOG_LEVEL": "debug",
    }
    jwks_service = Service(environment, tmp_path_factory.mktemp("jwks") / "log")
    try:
        yield jwks_service.wait_until_healthy()
    finally:
        jwks_service.stop()


@pytest.fixture(scope="module")
def anonymous(jwks_service: Service) -> Iterator[AnonymousClient]:
    with AnonymousClient(jwks_service.url) as client:
        yield client


def pem(pair: KeyPair) -> bytes:
    public: bytes = pair.private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return public


def with_header(
    header: dict[str, Any], sign: Sign = ED.private.sign, **claims: str | None
) -> str:
    """Sign under any header, by default with the published key for EdDSA."""
    signing_input = f"{encode_part(header)}.{encode_part(claims_json(**claims))}"
    return f"{signing_input}.{base64url(sign(signing_input.encode()))}"


def by_es256(data: bytes) -> bytes:
    r, s = decode_dss_signature(ES.private.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def by_es256_with_sha512(data: bytes) -> bytes:
    r, s = decode_dss_signature(ES.private.sign(data, ec.ECDSA(SHA512())))
    return r.to_bytes(32) + s.to_bytes(32)


def by_short_key(data: bytes) -> bytes:
    signature: bytes = UNUSABLE["short"].private.sign(data, PKCS1v15(), SHA256())
    return signature


def key_confusion(key: Callable[[KeyPair], bytes], algorithm: str) -> Callable[[], str]:
    """Sign with HS256 and the public part of a key pair (RFC 8725, 2.1)."""
    pair = PAIRS[algorithm]
    return lambda: forge_token(HS256 | {"kid": pair.kid}, key=key(pair))


def with_borrowed_kid(algorithm: str, kid_of: str, **header: Any) -> Callable[[], str]:
    """Sign with an unpublished key under the kid of a published one."""
    return lambda: KeyPair(algorithm, kid=PAIRS[kid_of].kid).token(header=header)


FORGED: dict[str, Callable[[], str]] = {
    **{
        f"HS256 with the {name} of {algorithm}": key_confusion(key, algorithm)
        for algorithm in ALGORITHMS
        for name, key in {
            "PEM": pem,
            "PEM without its last line break": lambda pair: pem(pair).strip(),
            "JWK": lambda pair: json.dumps(pair.jwk()).encode(),
        }.items()
    },
    "Ed25519 declared with a key for ES256": lambda: with_header(
        {"alg": "Ed25519", "kid": ES.kid}, by_es256
    ),
    "Ed25519 declared, HS256 signed with our secret": lambda: forge_token(
        {"alg": "Ed25519", "kid": ED.kid}
    ),
    "Ed448 declared with a key for EdDSA": lambda: with_header({"alg": "Ed448", "kid": ED.kid}),
    "Ed25519 in lower case": lambda: with_header({"alg": "ed25519", "kid": ED.kid}),
    "HS256 with the raw bytes of EdDSA": key_confusion(
        lambda pair: pair.private.public_key().public_bytes_raw(), "EdDSA"
    ),
    "EdDSA declared, HS256 signed with our secret": lambda: forge_token(
        {"alg": "EdDSA", "kid": ED.kid}
    ),
    "PS256 with a key for RS256": lambda: RS.token(algorithm="PS256"),
    "RS256 with a key for PS256": lambda: PAIRS["PS256"].token(algorithm="RS256"),
    "RS384 with a key for RS256": lambda: RS.token(algorithm="RS384"),
    "ES512 with a key for ES256": lambda: with_header(
        {"alg": "ES512", "kid": ES.kid}, by_es256_with_sha512
    ),
    "ES256 declared with a key for EdDSA": lambda: with_header({"alg": "ES256", "kid": ED.kid}),
    "ES256 signed with SHA-512": lambda: with_header(
        {"alg": "ES256", "kid": ES.kid}, by_es256_with_sha512
    ),
    **{
        f"an unpublished key under the kid of {algorithm}": with_borrowed_kid(
            algorithm, algorithm
        )
        for algorithm in ("EdDSA", "ES256", "ES512")
    },
    "the kid of another key": lambda: ED.token(header={"kid": ES.kid}),
    "the kid of another key of the same type": lambda: ED.token(
        header={"kid": WITHOUT_ALG.kid}
    ),
    "jwk beside the kid": with_borrowed_kid("EdDSA", "EdDSA", jwk=UNPUBLISHED.jwk()),
    "a published key with the kid of another": UNUSABLE["with the kid of another"].token,
    "alg none": lambda: with_header({"alg": "none", "kid": ED.kid}),
    "alg in lower case": lambda: with_header({"alg": "eddsa", "kid": ED.kid}),
    "alg a list": lambda: with_header({"alg": ["EdDSA"], "kid": ED.kid}),
    "no alg": lambda: with_header({"kid": ED.kid}),
    "kid a number": lambda: with_header({"alg": "EdDSA", "kid": 0}),
    "kid a list": lambda: with_header({"alg": "EdDSA", "kid": [ED.kid]}),
    "kid an object": lambda: with_header({"alg": "EdDSA", "kid": {"kid": ED.kid}}),
    "crit unknown": lambda: with_header({"alg": "EdDSA", "kid": ED.kid, "crit": ["x"], "x": 1}),
    "our secret under an unknown algorithm": lambda: with_signature(
        f"{encode_part({'alg': 'X'})}.e30"
    ),
    "a published key that is symmetric": lambda: with_signature(
        f"{encode_part(HS256 | {'kid': 'symmetric'})}.{encode_part(claims_json())}",
        b"published",
    ),
}

# Each of these waits for another fetch, which they all share.
UNKNOWN: dict[str, Callable[[], str]] = {
    **{
        f"a published key that is {name}": pair.token
        for name, pair in UNUSABLE.items()
        if name not in {"short", "with the kid of another"}
    },
    "a published key that is short": lambda: with_header(
        {"alg": "RS256", "kid": UNUSABLE["short"].kid}, by_short_key
    ),
    "jwk alone": lambda: UNPUBLISHED.token(header={"jwk": UNPUBLISHED.jwk(), "kid": None}),
    "jwk and its kid": lambda: UNPUBLISHED.token(header={"jwk": UNPUBLISHED.jwk()}),
    "no kid where two keys match": lambda: ED.token(header={"kid": None}),
    "no kid and nothing else": lambda: with_header({"alg": "EdDSA"}, UNPUBLISHED.private.sign),
    **{
        f"kid {name}": partial(ED.token, header={"kid": kid})
        for name, kid in {
            "unknown": new_user_id(),
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


def test_the_shared_secret_is_accepted_beside_published_keys(
    anonymous: AnonymousClient,
) -> None:
    assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
    assert anonymous.list_tasks(forge_token(HS256 | {"kid": ED.kid})).status_code == 200


def test_a_key_without_alg_has_the_algorithm_of_its_type(anonymous: AnonymousClient) -> None:
    assert anonymous.list_tasks(WITHOUT_ALG.token()).status_code == 200


@pytest.mark.parametrize("pair", [ED, ED25519, WITHOUT_ALG], ids=["old", "new", "none"])
def test_ed25519_and_eddsa_are_two_names_of_one_algorithm(
    anonymous: AnonymousClient, pair: KeyPair
) -> None:
    for name in ("EdDSA", "Ed25519"):
        header = {"alg": name, "kid": pair.kid}
        assert anonymous.list_tasks(with_header(header, pair.private.sign)).status_code == 200
        forged = with_header(header, UNPUBLISHED.private.sign)
        assert anonymous.unauthorized_details(forged) == {INVALID}
        expired = with_header(header, pair.private.sign, exp="1")
        assert anonymous.unauthorized_details(expired) == {EXPIRED}


def test_a_token_without_kid_matches_the_only_key_of_its_algorithm(
    anonymous: AnonymousClient,
) -> None:
    for pair in (PAIRS["ES512"], PAIRS["PS256"], RS):
        assert anonymous.list_tasks(pair.token(header={"kid": None})).status_code == 200
    another = KeyPair("ES512").token(header={"kid": None})
    assert anonymous.unauthorized_details(another) == {INVALID}


@pytest.mark.parametrize("name", FORGED)
def test_no_operation_accepts_a_forged_token(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.unauthorized_details(FORGED[name]()) <= {MALFORMED, INVALID}


def test_no_unknown_or_unusable_key_is_accepted(jwks_service: Service) -> None:
    tokens = {name: make() for name, make in UNKNOWN.items()}

    async def send_all() -> dict[str, httpx.Response]:
        async with httpx.AsyncClient(
            base_url=jwks_service.url, timeout=30, verify=NO_TLS
        ) as client:
            requests = [
                client.get("/api/tasks", headers={"Authorization": f"Bearer {text}"})
                for text in tokens.values()
            ]
            return dict(zip(tokens, await asyncio.gather(*requests), strict=True))

    responses = asyncio.run(send_all())
    assert {
        name: unauthorized_detail(response) for name, response in responses.items()
    } == dict.fromkeys(UNKNOWN, INVALID)


def test_no_key_is_fetched_from_an_address_in_a_header(
    jwks_service: Service, anonymous: AnonymousClient
) -> None:
    assert jwks_service.process.poll() is None
    with JWKSServer(UNPUBLISHED).running() as mine:
        for header in ("jku", "x5u"):
            token = UNPUBLISHED.token(header={header: mine.url, "kid": ED.kid})
            assert anonymous.unauthorized_details(token) == {INVALID}
        assert mine.request_count == 0


def test_claims_are_checked_as_with_the_shared_secret(anonymous: AnonymousClient) -> None:
    assert anonymous.unauthorized_details(ED.token(exp=1)) == {EXPIRED}
    assert anonymous.unauthorized_details(ED.token(nbf=2**40)) == {INVALID}
    assert anonymous.unauthorized_details(ED.token(subject="")) == {INVALID}


def test_the_log_names_skipped_keys_and_contains_no_token(jwks_service: Service) -> None:
    log = jwks_service.log.read_text()
    assert log.count("A published key is skipped: ") == len(ENTRIES) - len(PAIRS) - 2
    assert f"Better Auth publishes {len(PAIRS) + 2} keys at " in log
    assert base64url(b"\1" * 32) not in log
    assert "eyJ" not in log


def test_tokens_are_not_called_invalid_before_the_keys_are_fetched(
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
            response = request_operation(
                anonymous, operation, headers={"Authorization": f"Bearer {ED.token()}"}
            )
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "2"
            assert response.json()["detail"].startswith(
                "The keys that verify tokens cannot be fetched"
            )
        assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
        assert anonymous.unauthorized_details(forge_token(key=b"another secret")) == {INVALID}
        assert anonymous.unauthorized_details("no-token") == {MALFORMED}
        with jwks_server.running():
            wait_until(lambda: anonymous.list_tasks(ED.token()).status_code == 200)
        assert anonymous.list_tasks(ED.token()).status_code == 200
        assert anonymous.list_tasks(hs256(new_user_id())).status_code == 200
