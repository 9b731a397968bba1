"""Entity tags and conditional requests (RFC 9110, 8.8 and 13)."""

import re
from hashlib import sha256

from models.queries import REPRESENTATION_VERSION

TAG = re.compile(r'(W/)?("[!#-~]*")')
# A list may have empty elements (RFC 9110, 5.6.1).
TAGS = re.compile(r'[\t ,]*((W/)?"[!#-~]*"[\t ]*(,[\t ,]*|\Z))*')
# Of any representation, also of 0.1.0, which did not name it: a change concerns the version.
VERSION_TAG = re.compile(r'"(?:[1-9][0-9]*-)?([1-9][0-9]{0,17})"')


def etag_of_version(version: int) -> str:
    """Return the entity tag of a task version, as it is represented now."""
    return f'"{REPRESENTATION_VERSION}-{version}"'


def etag_of_list(revision: int) -> str:
    """Return the entity tag of every list at a revision of the user, as represented now."""
    return f'"l{REPRESENTATION_VERSION}-{revision}"'


def etag_of_bytes(body: bytes) -> str:
    """Return the entity tag of a response by its content.

    SHA-256, for which processors have instructions: half the time of BLAKE2.
    """
    return f'"{sha256(body).hexdigest()[:32]}"'


def not_modified(etag: str, if_none_match: str | None) -> bool:
    """Return whether a read may be answered with 304; compares weakly, as reads do."""
    if if_none_match is None:
        return False
    return if_none_match == "*" or etag in {tag for _, tag in _tags(if_none_match)}


def if_match_versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that a change may apply to; None if any.

    Compares strongly, as changes do: a weak tag matches nothing, nor does a tag that is not
    that of a task.
    """
    if if_match is None or if_match == "*":
        return None
    strong = [tag for weak, tag in _tags(if_match) if not weak]
    numbers = (VERSION_TAG.fullmatch(tag) for tag in strong)
    return frozenset(int(number[1]) for number in numbers if number)


def _tags(header: str) -> list[tuple[str, str]]:
    """Return the tags in a header, each after `W/` or nothing; none of what is not a list."""
    return TAG.findall(header) if TAGS.fullmatch(header) else []
