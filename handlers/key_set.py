"""A JWK Set (RFC 7517), read with suspicion: which of its keys may verify tokens."""

import logging
from collections.abc import Mapping
from typing import Any

import jwt
import orjson

# What a key can be used for, by `kty` and `crv`; the first where it has no `alg`.
ALGORITHMS = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): ("RS256", "PS256"),
}
PUBLISHED = tuple(name for names in ALGORITHMS.values() for name in names)

# At least what NIST SP 800-131A asks for; at most what is verified in no time.
RSA_BITS = range(2048, 8192 + 1)

logger = logging.getLogger("todo.keys")


class UnusableKey(Exception):
    """An entry of a key set is to verify no token; the text says why."""


class KeySet:
    """The keys of one key set that can be used."""

    def __init__(self, text: bytes) -> None:
        """Read a key set; entries that cannot be used are logged and left out.

        Raises ValueError if it is no key set at all.
        """
        match orjson.loads(text):
            case {"keys": [*entries]}:
                self._keys = _usable(entries)
            case _:
                msg = "the answer is no object with a list of keys"
                raise ValueError(msg)
        self._by_id = {key.key_id: key for key in self._keys}

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._keys)

    def find(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        """Return the key that a token's header names by its `kid`.

        A token may have none (RFC 7515, 4.1.4). It is then verified by the only
        key for its algorithm; where there are several, no key is tried in turn.
        """
        if "kid" in header:
            return self._by_id.get(header["kid"])
        fitting = [key for key in self._keys if key.algorithm_name == header["alg"]]
        return fitting[0] if len(fitting) == 1 else None


def _usable(entries: list[Any]) -> list[jwt.PyJWK]:
    keys: list[jwt.PyJWK] = []
    for entry in entries:
        try:
            keys.append(_key(entry, [key.key_id for key in keys if key.key_id is not None]))
        except UnusableKey as reason:
            logger.warning("A published key is left out: %s.", reason)
    return keys


def _key(entry: Any, taken: list[str]) -> jwt.PyJWK:
    """Make a key of an entry, for exactly one algorithm; raises UnusableKey."""
    if not isinstance(entry, dict):
        msg = "it is no object"
        raise UnusableKey(msg)
    entry = {name: value for name, value in entry.items() if value is not None}
    kid, operations = entry.get("kid", ""), entry.get("key_ops", ["verify"])
    fitting = _algorithms(entry)
    algorithm = entry.get("alg", fitting[0] if fitting else None)
    faults = {
        "its kid is no string": not isinstance(kid, str),
        "its kid is another's": kid in taken,
        "it is private, and published all the same": "d" in entry,
        "it is not for signatures": entry.get("use", "sig") != "sig",
        "it is not for verifying": not (
            isinstance(operations, list) and "verify" in operations
        ),
        "its kind or its algorithm is not accepted": algorithm not in fitting,
    }
    for fault, found in faults.items():
        if found:
            raise UnusableKey(fault)
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm)
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
