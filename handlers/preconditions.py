"""Entity tags and the conditions that clients build on them (RFC 9110, 8.8 and 13)."""

import re
from hashlib import sha256

TAG = re.compile(r'(W/)?("[!#-~]*")')
VERSION_TAG = re.compile(r'"([1-9][0-9]{0,17})"')


def etag_of_version(version: int) -> str:
    """Return the entity tag of a task in this version."""
    return f'"{version}"'


def etag_of_bytes(body: bytes) -> str:
    """Return the entity tag of an answer, by its content.

    By SHA-256, since today's processors have instructions for it: half the time of BLAKE2.
    """
    return f'"{sha256(body).hexdigest()[:32]}"'


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Tell whether a read may be answered with 304; compares weakly, as reads do."""
    if if_none_match is None:
        return False
    return if_none_match == "*" or etag in {tag for _, tag in TAG.findall(if_none_match)}


def versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions in which a task may be changed; None if in any.

    Compares strongly, as changes do: a weak tag never matches, nor does one
    that no task of this service ever had.
    """
    if if_match is None or if_match == "*":
        return None
    strong = [tag for weak, tag in TAG.findall(if_match) if not weak]
    numbers = (VERSION_TAG.fullmatch(tag) for tag in strong)
    return frozenset(int(number[1]) for number in numbers if number)
