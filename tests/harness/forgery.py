"""Tokens built byte by byte: invalid ones that no library would write or sign."""

import base64
import hmac
import json
import time

from harness.service import SECRET

KEY = SECRET.encode()
HS256 = {"alg": "HS256", "typ": "JWT"}


def base64url(data: bytes) -> str:
    """Encode as JOSE does (RFC 7515, 2): URL-safe, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encode_part(value: object) -> str:
    """Encode one part of a token: bytes as they are, everything else as JSON."""
    return base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def claims_json(**texts: str | None) -> bytes:
    """Return valid claims as JSON; `texts` replaces values by JSON text, None omits them."""
    now = int(time.time())
    members = {"sub": '"mallory"', "iat": f"{now}", "exp": f"{now + 3600}", **texts}
    present = (f'"{name}":{text}' for name, text in members.items() if text is not None)
    return f"{{{','.join(present)}}}".encode()


def signature_of(signing_input: str, key: bytes = KEY, digest: str = "sha256") -> str:
    """Return the HMAC signature of a signing input, encoded."""
    return base64url(hmac.digest(key, signing_input.encode(), digest))


def with_signature(signing_input: str, key: bytes = KEY, digest: str = "sha256") -> str:
    """Append the signature to a signing input."""
    return f"{signing_input}.{signature_of(signing_input, key, digest)}"


def forge_token(
    header: object = HS256,
    payload: object = None,
    *,
    key: bytes = KEY,
    digest: str = "sha256",
) -> str:
    """Return a complete token, valid except for the given parts."""
    return with_signature(
        f"{encode_part(header)}.{encode_part(payload or claims_json())}", key, digest
    )
