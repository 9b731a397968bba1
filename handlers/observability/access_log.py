"""The access log: one line for each response."""

import logging
import re
from string import ascii_letters, digits

from starlette.types import Scope

MAX_PATH = 200  # characters
PERCENT_ENCODED = re.compile("%[0-9A-Fa-f]{2}")
UNRESERVED = frozenset(f"{ascii_letters}{digits}-._~")
"""The characters that mean the same percent-encoded (RFC 3986, 2.3)."""

logger = logging.getLogger("todo.access")


class AccessLog:
    """An observer that logs each response, without the query and the user's id."""

    def __init__(self, user_scope: tuple[str, str]) -> None:
        """Recognize user-scoped paths; for `user_scope` see RequestContextMiddleware."""
        prefix, alias_of = user_scope
        root = prefix.partition("{user_id}")[0]
        other = re.escape(alias_of.removeprefix(root))
        # Also where it is misspelled, as in /API//alice/tasks or /%2Fapi%2Falice. Nothing is
        # tried twice, since a path may consist of thousands of slashes.
        misspelled = re.escape(root.rstrip("/")).replace("/", "(?:/|%2f)++")
        self._user_path = re.compile(
            rf"(?i:(?<!/)(?<!%2f){misspelled}(?:/++|(?:%2f)++))(?!{other}(?:/|$))[^/]+"
        )
        self._template = f"{root}{{user_id}}"

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Log a response; see `Observer`."""
        fields = {
            "method": scope["method"],
            "path": self._path_form(scope),
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        logger.info("%s %s %d %.1f ms", *fields.values(), extra={"fields": fields})

    def _path_form(self, scope: Scope) -> str:
        """Return the path in the form that was asked for, with `{user_id}` for the id."""
        path = PERCENT_ENCODED.sub(_decode_unreserved, scope["raw_path"].decode("latin-1"))
        path = path.encode("unicode_escape").decode()
        return self._user_path.sub(self._template, path, count=1)[:MAX_PATH]


def _decode_unreserved(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if character in UNRESERVED else match[0]
