"""Forged tokens: one table of attacks, each tried on every secured operation."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from handlers.auth.verifier import InvalidToken, TokenVerifier
from harness.anonymous import INVALID, MALFORMED, AnonymousClient, unauthorized_detail
from harness.forgery import (
    HS256,
    KEY,
    base64url,
    claims_json,
    encode_part,
    forge_token,
    signature_of,
    with_signature,
)
from harness.service import SECRET

LATER = int(time.time()) + 3600
HEADER = json.dumps(HS256).encode()
ALICE_CLAIMS = claims_json(sub='"alice"')
UNSIGNED = f"{encode_part(HS256)}.{encode_part(claims_json())}"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem() -> bytes:
    public = rsa_key().public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def der() -> bytes:
    public = rsa_key().public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def with_own_key(algorithm: str, **header: object) -> str:
    """Sign with the attacker's own key pair, of the kind that the algorithm needs."""
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    key: Any
    if algorithm in curves:
        key = ec.generate_private_key(curves[algorithm])
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa_key()
    return jwt.encode(json.loads(claims_json()), key, algorithm, dict(header))


def with_key_in_header() -> str:
    """Embed the attacker's key in the `jwk` header."""
    own = RSAAlgorithm.to_jwk(rsa_key().public_key(), as_dict=True)
    return with_own_key("RS256", jwk=own, kid="mine")


def with_header(key: bytes = KEY, **header: object) -> Callable[[], str]:
    return lambda: forge_token(HS256 | header, key=key)


def unsigned(algorithm: str, sign: Callable[[str], str]) -> Callable[[], str]:
    signing_input = f"{encode_part({'alg': algorithm})}.{encode_part(claims_json())}"
    return lambda: f"{signing_input}.{sign(signing_input)}"


def modified(change: Callable[[str], str]) -> Callable[[], str]:
    """Modify a valid token."""
    return lambda: change(forge_token())


def reassembled(change: Callable[[str, str, str], str]) -> Callable[[], str]:
    """Reassemble the three parts of a valid token."""
    return modified(lambda token: change(*token.split(".")))


def inserted(junk: str, at: int, token: str) -> str:
    return token[:at] + junk + token[at:]


def padded(data: bytes) -> str:
    """Encode in base64url with one `=` of padding."""
    return base64.urlsafe_b64encode(data + b" " * (-(len(data) + 1) % 3)).decode()


def standard_alphabet() -> str:
    """Sign a payload encoded in standard base64, with `+` and `/` for `-` and `_`."""
    payload = claims_json(name='"~~~???>>>~~~???>>>"', other='" ~~~???>>>~~~???>>>"')
    text = base64.b64encode(payload).decode().rstrip("=")
    assert set("+/") & set(text)
    return with_signature(f"{encode_part(HS256)}.{text}")


def with_spare_bits(token: str) -> str:
    """Flip an unused bit in the last character; it decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def detached() -> str:
    """Detach the payload (RFC 7797)."""
    head = encode_part(HS256 | {"b64": False, "crit": ["b64"]})
    return f"{head}..{signature_of(f'{head}.{claims_json().decode()}')}"


NONES = ("none", "None", "NONE", "nOnE", "none ", " none", "", "null")
UNSIGNED_TOKENS = {
    f"alg {none!r} {how}": unsigned(none, sign)
    for none in NONES
    for how, sign in {
        "without a signature": lambda _: "",
        "with an empty object for a signature": lambda _: encode_part({}),
        "with a valid signature": signature_of,
    }.items()
}

ALGORITHMS: dict[str, Callable[[], str]] = {
    "HS384 with our key": lambda: forge_token({"alg": "HS384"}, digest="sha384"),
    "HS512 with our key": lambda: forge_token({"alg": "HS512"}, digest="sha512"),
    "HS512 declared, HS256 signed": lambda: forge_token({"alg": "HS512"}),
    "HS256 declared, HS512 signed": lambda: forge_token(digest="sha512"),
    "HS1 with our key": lambda: forge_token({"alg": "HS1"}, digest="sha1"),
    "HS256 declared, SHA-1 signed": lambda: forge_token(digest="sha1"),
    "hs256 in lower case": with_header(alg="hs256"),
    "HS256 and a space": with_header(alg="HS256 "),
    "HS256 and a NUL": with_header(alg="HS256\0"),
    "HS256 in full-width letters": with_header(alg="ＨＳ２５６"),  # noqa: RUF001 (the attack)
    "no alg": lambda: forge_token({"typ": "JWT"}),
    "alg null": with_header(alg=None),
    "alg true": with_header(alg=True),
    "alg a number": with_header(alg=256),
    "alg a list": with_header(alg=["HS256"]),
    "alg an object": with_header(alg={"HS256": 1}),
    "alg twice, the last none": lambda: forge_token(b'{"alg":"HS256","alg":"none"}'),
    "RS256": lambda: with_own_key("RS256"),
    "PS256": lambda: with_own_key("PS256"),
    "ES256": lambda: with_own_key("ES256"),
    "ES384": lambda: with_own_key("ES384"),
    "ES512": lambda: with_own_key("ES512"),
    "EdDSA": lambda: with_own_key("EdDSA"),
    "ES256 with r and s of zero": lambda: (
        f"{encode_part({'alg': 'ES256'})}.{encode_part(claims_json())}.{'A' * 86}"
    ),
    "HS256 with a public key as PEM": lambda: forge_token(key=pem()),
    "HS256 with a public key as DER": lambda: forge_token(key=der()),
    "RS256 declared, HS256 signed with PEM": lambda: forge_token({"alg": "RS256"}, key=pem()),
    "RS256 declared, HS256 signed with our key": lambda: forge_token({"alg": "RS256"}),
}

SIGNATURES: dict[str, Callable[[], str]] = {
    "an empty signature": reassembled(lambda h, p, _: f"{h}.{p}."),
    "a signature of one byte": reassembled(lambda h, p, _: f"{h}.{p}.AA"),
    "a signature of zeros": reassembled(lambda h, p, _: f"{h}.{p}.{'A' * 43}"),
    "a truncated signature": modified(lambda token: token[:-21]),
    "a character short": modified(lambda token: token[:-1]),
    "a character long": modified(lambda token: f"{token}A"),
    "a byte long": modified(lambda token: f"{token}AA"),
    "the signature twice": reassembled(lambda h, p, s: f"{h}.{p}.{s}{s}"),
    "other unused bits at the end": modified(with_spare_bits),
    "a signature in hexadecimal": reassembled(
        lambda h, p, s: f"{h}.{p}.{base64.urlsafe_b64decode(f'{s}=').hex()}"
    ),
    "the signature of another payload": lambda: f"{UNSIGNED}.{signature_of('e30.e30')}",
    "a payload changed after signing": reassembled(
        lambda h, _, s: f"{h}.{encode_part(ALICE_CLAIMS)}.{s}"
    ),
    "a header changed after signing": reassembled(
        lambda _, p, s: f"{encode_part({'alg': 'HS256'})}.{p}.{s}"
    ),
    "only the payload signed": lambda: f"{UNSIGNED}.{signature_of(UNSIGNED.split('.')[1])}",
    "header and payload swapped": reassembled(lambda h, p, s: f"{p}.{h}.{s}"),
}

SHAPES: dict[str, Callable[[], str]] = {
    "null": lambda: "null",
    "undefined": lambda: "undefined",
    "[object Object]": lambda: "[object Object]",
    "one dot": lambda: ".",
    "two dots": lambda: "..",
    "only a header": reassembled(lambda h, _p, _s: h),
    "no signature and no dot": reassembled(lambda h, p, _: f"{h}.{p}"),
    "no payload": reassembled(lambda h, _, s: f"{h}..{s}"),
    "no header": reassembled(lambda _, p, s: f".{p}.{s}"),
    "a dot at the end": modified(lambda token: f"{token}."),
    "a dot at the beginning": modified(lambda token: f".{token}"),
    "a fourth part": modified(lambda token: f"{token}.{base64url(b'more')}"),
    "a part in between": reassembled(lambda h, p, s: f"{h}.{p}.{p}.{s}"),
    "JWE compact, five parts": lambda: (
        f"{encode_part({'alg': 'dir', 'enc': 'A256GCM'})}..{'A' * 16}.{'A' * 40}.{'A' * 22}"
    ),
    "JWE header, signed": lambda: forge_token({"alg": "dir", "enc": "A256GCM"}),
    "JWS as JSON": reassembled(
        lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s})
    ),
    "in double quotes": modified(lambda token: f'"{token}"'),
    "in single quotes": modified(lambda token: f"'{token}'"),
    "in angle brackets": modified(lambda token: f"<{token}>"),
    "the scheme twice": modified(lambda token: f"Bearer {token}"),
    "as an RFC 7235 parameter": modified(lambda token: f"token={token}"),
    "followed by a parameter": modified(lambda token: f'{token}, realm="x"'),
    "two tokens, a comma between": modified(lambda token: f"{token}, {token}"),
    "two tokens, a space between": modified(lambda token: f"{token} {token}"),
    "two tokens, another scheme": modified(lambda token: f"{token}, Bearer {token}"),
    "60 kB of header": lambda: forge_token(HS256 | {"x": "x" * 45_000}),
    "60 kB of payload": lambda: forge_token(payload=claims_json(x=f'"{"x" * 45_000}"')),
    "60 kB of signature": modified(lambda token: token + "A" * 60_000),
    "60 kB of dots": lambda: "." * 60_000,
    "a nested token": lambda: forge_token(HS256 | {"cty": "JWT"}, forge_token().encode()),
}

ENCODINGS: dict[str, Callable[[], str]] = {
    "padding after the signature": modified(lambda token: f"{token}="),
    "too much padding after it": modified(lambda token: f"{token}=="),
    "padding in a signed header": lambda: with_signature(
        f"{padded(HEADER)}.{encode_part(claims_json())}"
    ),
    "padding in a signed payload": lambda: with_signature(
        f"{encode_part(HS256)}.{padded(claims_json())}"
    ),
    "base64 for base64url, signed": standard_alphabet,
    "dots as %2E": modified(lambda token: token.replace(".", "%2E")),
    "full-width dots": modified(lambda token: token.replace(".", "\N{FULLWIDTH FULL STOP}")),
    "other unused bits in a signed payload": lambda: with_signature(
        f"{encode_part(HS256)}.{with_spare_bits(padded(claims_json()).rstrip('='))}"
    ),
    **{
        f"{name} in the {place}": modified(partial(inserted, junk, at))
        for name, junk in {
            "a space": " ",
            "a tab": "\t",
            "an exclamation mark": "!",
            "a star": "*",
            "a backslash": "\\",
            "a percent sign": "%",
            "an equals sign": "=",
            "a zero width space": "\N{ZERO WIDTH SPACE}",
            "an e acute": "é",
        }.items()
        for place, at in {"header": 5, "payload": 60, "signature": -5}.items()
    },
}

# Attacks on implementations that choose the key by what the token's header says.
HEADERS: dict[str, Callable[[], str]] = {
    "jwk with its own key": with_key_in_header,
    "jwk with a symmetric key": with_header(
        b"chosen", jwk={"kty": "oct", "k": base64url(b"chosen"), "alg": "HS256"}
    ),
    "jku": lambda: with_own_key("RS256", jku="http://127.0.0.1:9/jwks.json", kid="mine"),
    "x5u": lambda: with_own_key("RS256", x5u="http://127.0.0.1:9/cert.pem"),
    "x5c": lambda: with_own_key("RS256", x5c=[base64.b64encode(der()).decode()]),
    "kid /dev/null": with_header(b"", kid="/dev/null"),
    "kid ../../../dev/null": with_header(b"\0", kid="../../../../../../dev/null"),
    "kid of a file that is known": with_header(b"0\n", kid="/proc/sys/vm/swappiness"),
    "kid of SQL": with_header(b"chosen", kid="x' UNION SELECT 'chosen' -- "),
    "kid of a shell": with_header(b"chosen", kid="|echo -n chosen"),
    "kid the key itself": with_header(b"chosen", kid="chosen"),
    "kid a number": with_header(kid=1),
    "kid null": with_header(kid=None),
    "kid a list": with_header(kid=["a"]),
    "kid an object": with_header(kid={"a": 1}),
    "crit unknown": with_header(crit=["exp"], exp=LATER),
    "crit unknown and absent": with_header(crit=["x-unheard-of"]),
    "crit empty": with_header(crit=[]),
    "crit a string": with_header(crit="exp", exp=LATER),
    "crit null": with_header(crit=None),
    "crit of a number": with_header(crit=[1]),
    "crit of a list": with_header(crit=[[]]),
    "b64 false": with_header(b64=False, crit=["b64"]),
    "b64 false and not critical": with_header(b64=False),
    "b64 false, the payload detached": detached,
    "header a list": lambda: forge_token(["HS256"]),
    "header a string": lambda: forge_token("HS256"),
    "header a number": lambda: forge_token(5),
    "header null": lambda: forge_token(b"null"),
    "header true": lambda: forge_token(b"true"),
    "header not JSON": lambda: forge_token(b"{alg: HS256}"),
    "header truncated": lambda: forge_token(b'{"alg":"HS256"'),
    "header of two objects": lambda: forge_token(b'{"alg":"HS256"}{}'),
    "header not in UTF-8": lambda: forge_token(b'{"alg":"HS256","x":"\xff"}'),
    "header of zeros": lambda: forge_token(b"\0" * 16),
    "header deeply nested": lambda: forge_token(b'{"alg":"HS256","x":' + b"[" * 5000),
    "header with a number of 5,000 digits": lambda: forge_token(
        b'{"alg":"HS256","x":' + b"9" * 5000 + b"}"
    ),
}

SECRETS: dict[str, Callable[[], str]] = {
    f"signed with {name}": partial(forge_token, key=key)
    for name, key in {
        "another secret": b"another secret, which is long enough too",
        "an empty secret": b"",
        "a NUL": b"\0",
        "a newline after the secret": KEY + b"\n",
        "a space before the secret": b" " + KEY,
        "the secret in quotes": b'"' + KEY + b'"',
        "the secret in upper case": SECRET.upper().encode(),
        "half the secret": KEY[: len(KEY) // 2],
        "the secret twice": KEY * 2,
        "the secret backwards": KEY[::-1],
        "the secret decoded from base64": base64.b64decode(KEY + b"=="),
        "the secret encoded in base64": base64.b64encode(KEY),
        "the secret in hexadecimal": KEY.hex().encode(),
        "the secret in UTF-16": SECRET.encode("utf-16"),
        "the name of the setting": b"BETTER_AUTH_SECRET",
        "Better Auth's default secret": b"better-auth-secret-12345678901234567890",
        "null": b"null",
        "undefined": b"undefined",
    }.items()
}

FORGED = {
    **UNSIGNED_TOKENS,
    **ALGORITHMS,
    **SIGNATURES,
    **SHAPES,
    **ENCODINGS,
    **HEADERS,
    **SECRETS,
}


def test_an_unmodified_token_is_accepted(anonymous: AnonymousClient) -> None:
    assert anonymous.list_tasks(forge_token()).status_code == 200


@pytest.mark.parametrize("name", FORGED)
def test_no_operation_accepts_a_forged_token(anonymous: AnonymousClient, name: str) -> None:
    assert anonymous.unauthorized_details(FORGED[name]()) <= {MALFORMED, INVALID}


def test_no_bit_of_a_signature_can_be_flipped(anonymous: AnonymousClient) -> None:
    signing_input, _, encoded = forge_token().rpartition(".")
    good = base64.urlsafe_b64decode(f"{encoded}=")
    for bit in range(len(good) * 8):
        flipped = int.from_bytes(good) ^ 1 << bit
        token = f"{signing_input}.{base64url(flipped.to_bytes(len(good)))}"
        assert unauthorized_detail(anonymous.list_tasks(token)) == INVALID


def test_no_single_character_of_a_token_can_be_changed(anonymous: AnonymousClient) -> None:
    token = forge_token()
    for place, character in enumerate(token):
        changed = f"{token[:place]}{'B' if character == 'A' else 'A'}{token[place + 1 :]}"
        assert unauthorized_detail(anonymous.list_tasks(changed)) in {MALFORMED, INVALID}


@pytest.mark.parametrize("header", ["jku", "x5u", "kid"])
def test_no_key_is_fetched_from_where_a_token_says(
    anonymous: AnonymousClient, header: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys.json"
        assert anonymous.unauthorized_details(with_own_key("RS256", **{header: url})) == {
            INVALID
        }
        assert anonymous.list_tasks(forge_token(HS256 | {header: url})).status_code == 200
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_algorithm_belongs_to_the_key_and_not_to_the_token() -> None:
    """Call the verifier directly, with a public key as a key set contains it."""
    public = RSAAlgorithm.to_jwk(rsa_key().public_key(), as_dict=True)
    key = jwt.PyJWK.from_dict(public | {"alg": "RS256"})

    class OneKey:
        version = 0

        async def keys_for(self, _header: Mapping[str, Any]) -> tuple[jwt.PyJWK, ...]:
            return (key,)

    verifier = TokenVerifier(OneKey())
    accepted = asyncio.run(verifier.verify(with_own_key("RS256")))
    assert accepted["sub"] == "mallory"
    for token in (
        forge_token(key=pem()),
        forge_token({"alg": "RS256"}, key=pem()),
        forge_token(key=der()),
        with_own_key("PS256"),
        with_own_key("ES256"),
    ):
        with pytest.raises(InvalidToken, match=r"The token is invalid\."):
            asyncio.run(verifier.verify(token))
