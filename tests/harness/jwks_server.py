"""Key pairs, and an HTTP server that publishes a JWKS or faulty responses."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from harness.clients import new_user_id
from harness.service import free_port

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PATH = "/api/auth/jwks"


@cache
def rsa_private_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Generate a key; cached, since generation is slow."""
    return rsa.generate_private_key(65537, bits)


@dataclass
class KeyPair:
    """A private key that signs tokens; its public key can be published."""

    algorithm: str = "EdDSA"
    bits: int = 2048
    kid: str = field(default_factory=new_user_id)
    private: Any = None

    def __post_init__(self) -> None:
        """Generate the key, unless it is given."""
        if self.private is not None:
            return
        if self.algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif self.algorithm in CURVES:
            self.private = ec.generate_private_key(CURVES[self.algorithm])
        else:
            self.private = rsa_private_key(self.bits)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public key as Better Auth publishes it, with changes; `...` omits."""
        kinds = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}
        kind: Any = OKPAlgorithm if self.algorithm == "EdDSA" else kinds[self.algorithm[0]]
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        members = {"alg": self.algorithm, **public, "kid": self.kid, **changes}
        return {name: value for name, value in members.items() if value is not ...}

    def token(
        self,
        subject: str | None = "alice",
        *,
        algorithm: str | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Sign a token, valid except for the given parts; None omits a claim or a header."""
        now = int(time.time())
        payload = {"sub": subject, "iat": now, "exp": now + 900, **claims}
        head = {"kid": self.kid, **(header or {})}
        payload, head = (
            {name: value for name, value in part.items() if value is not None}
            for part in (payload, head)
        )
        return jwt.encode(payload, self.private, algorithm or self.algorithm, head)


class JWKSServer:
    """An HTTP server with a JWKS; a test may change its status, headers and body.

    A response is what these were when the request arrived, sent after `delay` seconds.
    """

    def __init__(self, *pairs: KeyPair) -> None:
        """Publish these keys while `running`."""
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}{PATH}"
        self.request_count = 0
        self.request_headers: dict[str, str] = {}  # of the last request
        self.delay = 0.0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.publish(*pairs)

    def publish(self, *keys: Any) -> None:
        """Replace the published keys: key pairs, or JWKs as they are."""
        entries = [key.jwk() if isinstance(key, KeyPair) else key for key in keys]
        self.body = json.dumps({"keys": entries}).encode()

    @contextmanager
    def running(self) -> Iterator["JWKSServer"]:
        """Serve requests until exit."""
        jwks_server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = (
                    jwks_server.status,
                    jwks_server.headers,
                    jwks_server.body,
                )
                jwks_server.request_headers = dict(self.headers)
                jwks_server.request_count += 1
                time.sleep(jwks_server.delay)
                known = self.path.partition("?")[0] == PATH
                self.send_response(status if known else 404)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if known:
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Ignore disconnects: clients abort a response that is too large."""

        with Server(("127.0.0.1", self.port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
