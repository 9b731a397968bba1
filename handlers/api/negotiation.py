"""Content negotiation (RFC 9110, 12.5): what a client accepts.

A very long header counts as none: werkzeug takes seconds for one that fills the permitted
size of all headers, and those of browsers have about 200 characters.
"""

from collections.abc import Sequence

from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

MAX_LENGTH = 500
"""Characters of an `Accept` or `Accept-Encoding` header that is taken into account."""


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Return whether a client that sends this `Accept-Encoding` accepts gzip."""
    return bool(parse_accept_header(_unless_long(accept_encoding), Accept).quality("gzip"))


def preferred_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return which of the offered media types a client that sends this `Accept` prefers.

    The first is the default.
    """
    accepted = parse_accept_header(_unless_long(accept), MIMEAccept)
    return accepted.best_match(offered, default=offered[0])


def _unless_long(header: str | None) -> str | None:
    return header if header is not None and len(header) <= MAX_LENGTH else None
