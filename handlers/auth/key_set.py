"""A JWK Set (RFC 7517): which of its keys may verify tokens."""

import logging
from collections.abc import Mapping
from copy import copy
from typing import Any

import jwt
import orjson

# The algorithms of a key by `kty` and `crv`; the first is the default without `alg`.
ALGORITHMS = {
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): ("RS256", "PS256"),
}
PUBLISHED_ALGORITHMS = tuple(name for names in ALGORITHMS.values() for name in names)
# RFC 9864 names the algorithm anew that `EdDSA` means for a key on this curve; PyJWT has the
# older name only.
ALIASES = {"Ed25519": "EdDSA"}

# The minimum of NIST SP 800-131A, and a maximum, since verification blocks the event loop.
RSA_BITS = range(2048, 8192 + 1)

logger = logging.getLogger("todo.auth")


class UnusableKey(Exception):
    """An entry of a key set cannot verify tokens; the text says why."""


class KeySet:
    """The usable keys of one key set."""

    def __init__(self, text: bytes) -> None:
        """Parse a key set; entries that cannot be used are logged and skipped.

        Raises ValueError if it is not a key set.
        """
        match orjson.loads(text):
            case {"keys": [*entries]}:
                self._keys = _usable(entries)
            case _:
                msg = "the response is not an object with a list of keys"
                raise ValueError(msg)
        self._by_id = {key.key_id: key for key in self._keys}

    def __len__(self) -> int:
        """Return the number of usable keys."""
        return len(self._keys)

    def find(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        """Return the key that the header of a token names by `kid`; None if there is none.

        `kid` is optional (RFC 7515, 4.1.4). Without it, the only key for the algorithm is
        used; if there are several, none. The key calls its algorithm as the header does.
        """
        name = header["alg"]
        algorithm = ALIASES.get(name, name)
        if "kid" in header:
            key = self._by_id.get(header["kid"])
        else:
            candidates = [key for key in self._keys if key.algorithm_name == algorithm]
            key = candidates[0] if len(candidates) == 1 else None
        if key is not None and key.algorithm_name == algorithm != name:
            key = copy(key)
            key.algorithm_name = name
        return key


def _usable(entries: list[Any]) -> list[jwt.PyJWK]:
    keys: list[jwt.PyJWK] = []
    for entry in entries:
        try:
            keys.append(_key(entry, [key.key_id for key in keys]))
        except UnusableKey as reason:
            logger.warning("A published key is skipped: %s.", reason)
    return keys


def _key(entry: Any, taken: list[str | None]) -> jwt.PyJWK:
    """Return the key of an entry, for exactly one algorithm; raises UnusableKey."""
    if not isinstance(entry, dict):
        msg = "it is not an object"
        raise UnusableKey(msg)
    entry = {name: value for name, value in entry.items() if value is not None}
    kid, operations = entry.get("kid", ""), entry.get("key_ops", ["verify"])
    algorithms = _algorithms(entry)
    algorithm = entry.get("alg", algorithms[0] if algorithms else None)
    problems = {
        "its kid is not a string": not isinstance(kid, str),
        "its kid is not unique": kid in taken,
        "it is a private key": "d" in entry,
        "it is not for signatures": entry.get("use", "sig") != "sig",
        "it is not for verifying": not (
            isinstance(operations, list) and "verify" in operations
        ),
        "its type or algorithm is not accepted": algorithm not in algorithms,
    }
    for problem, found in problems.items():
        if found:
            raise UnusableKey(problem)
    try:
        key = jwt.PyJWK.from_dict(entry, ALIASES.get(algorithm, algorithm))
    except jwt.PyJWTError as error:
        raise UnusableKey(str(error)) from None
    if entry["kty"] == "RSA" and key.key.key_size not in RSA_BITS:
        msg = f"it has {key.key.key_size} bits"
        raise UnusableKey(msg)
    return key


def _algorithms(entry: Mapping[str, Any]) -> tuple[str, ...]:
    match entry:
        case {"kty": "RSA"}:
            return ALGORITHMS["RSA", None]
        case {"kty": str(kty), "crv": str(crv)}:
            return ALGORITHMS.get((kty, crv), ())
    return ()
