"""Parsers of single settings: each takes a text, and raises ValueError if it is invalid."""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from math import inf
from urllib.parse import urlsplit

MIN_SECRET_BYTES = 32
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
MAX_LIMITS = 4
MAX_WINDOW = 86_400
MAX_HITS = 1_000_000_000
MAX_SECONDS = 3600
MAX_ROOT_PATH = 50
"""In characters: `Location` and the other addresses stay as short as the contract says."""

# Without a path, and without a wildcard, which would match no browser.
_ORIGIN = re.compile(r"\w+://[^/?*]+")

# Segments of characters that are never percent-encoded; none of them is `.` or `..`.
_ROOT_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")

_DATABASE_URL = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://((?:[^/@]*@)?[^?]*)\??(.*)", re.IGNORECASE | re.DOTALL
)
# Parameters that Prisma, Supabase, asyncpg and SQLAlchemy read. libpq refuses a URL with
# them, and none of them makes a connection less secure by its absence.
_NOT_FOR_LIBPQ = {
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "prepared_statement_cache_size",
    "schema",
    "socket_timeout",
    "statement_cache_size",
    "supa",
    "workaround",
}


def secret(text: str) -> bytes:
    """Parse a secret for HS256; it must be long enough."""
    secret = text.encode()
    if len(secret) < MIN_SECRET_BYTES:
        msg = f"must be at least {MIN_SECRET_BYTES} bytes long, and has {len(secret)}"
        raise ValueError(msg)
    return secret


def web_url(text: str) -> str:
    """Parse an http or https URL, without a password in it."""
    if not _is_web_url(text):
        msg = "must be a URL such as https://todo.example, without a password in it"
        raise ValueError(msg)
    return text


def _is_web_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        usable = False
    return bool(usable and re.fullmatch(r"[!-~]+", text) and not re.search(r"[@#]", text))


def _claim(text: str) -> tuple[str, ...]:
    """Parse the path of a claim: dots separate names, except in a name that is a URL."""
    path = (text,) if "/" in text else tuple(text.split("."))
    if not all(path):
        msg = f"must be a claim's name, or a path such as user.id, not {text!r}"
        raise ValueError(msg)
    return path


def claims(text: str) -> tuple[tuple[str, ...], ...]:
    """Parse the paths of several claims, separated by commas."""
    return tuple(_claim(path.strip()) for path in text.split(","))


def origin(url: str) -> str:
    """Return the origin of an http or https URL, as browsers write it (RFC 6454, 6.2)."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default_port = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default_port} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def origins(text: str) -> tuple[str, ...]:
    """Parse origins, separated by commas, into those that browsers send."""
    given = [each.strip() for each in text.split(",") if each.strip()]
    for each in given:
        if not (_ORIGIN.fullmatch(each) and _is_web_url(each)):
            msg = f"must list origins such as http://localhost:3000, not {each!r}"
            raise ValueError(msg)
    return tuple(dict.fromkeys(map(origin, given)))


def root_path(text: str) -> str:
    """Parse a path prefix."""
    if len(text) > MAX_ROOT_PATH or not _ROOT_PATH.fullmatch(text):
        msg = (
            "must be a path such as /todo, without a slash at the end, of at most "
            f"{MAX_ROOT_PATH} characters (letters, digits, - . _ ~), not {text!r}"
        )
        raise ValueError(msg)
    return text


def libpq_url(text: str) -> str:
    """Rewrite the URL of another driver or ORM as libpq reads it. Raises ValueError."""
    match = _DATABASE_URL.fullmatch(text)
    if match is None:
        msg = "must be a URL such as postgresql://user:password@host:5432/todo"
        raise ValueError(msg)
    server, query = match.groups()
    parameters = [
        parameter
        for parameter in query.split("&")
        if parameter and parameter.partition("=")[0] not in _NOT_FOR_LIBPQ
    ]
    return "?".join([f"postgresql://{server}", *filter(None, ["&".join(parameters)])])


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            msg = f"must be a whole number from {low} to {high}, not {text!r}"
            raise ValueError(msg)
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Parse a number of seconds, greater than 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_SECONDS:
        msg = f"must be a number of seconds, at most {MAX_SECONDS}, not {text!r}"
        raise ValueError(msg)
    return seconds


def seconds_or_off(text: str) -> float:
    """Parse a number of seconds; 0 is infinity."""
    return inf if text == "0" else seconds(text)


def rate_limits(text: str) -> tuple[tuple[int, int], ...]:
    """Parse limits such as `100/second; 1000 per 5 minutes` into pairs of hits and seconds."""
    from limits import parse_many  # noqa: PLC0415 (40 ms, for a setting that few use)

    try:
        limits = tuple((limit.amount, limit.get_expiry()) for limit in parse_many(text))
    except ValueError:
        limits = ()
    windows = {seconds for _, seconds in limits}
    in_range = all(1 <= hits <= MAX_HITS and seconds <= MAX_WINDOW for hits, seconds in limits)
    if not (in_range and 1 <= len(windows) == len(limits) <= MAX_LIMITS):
        msg = (
            "must be up to four limits, each for another time of up to a day, such as "
            f"100/second;5000/hour, not {text!r}"
        )
        raise ValueError(msg)
    return limits


def redis_url(text: str) -> str:
    """Check the URL of a Redis, which `limits` writes with `async+` before it."""
    url = text.removeprefix("async+")
    try:
        from redis import ConnectionPool  # noqa: PLC0415 (an extra)

        ConnectionPool.from_url(url).make_connection()  # does no I/O
    except ImportError:
        msg = "needs the package redis: install todo-api[redis]"
        raise ValueError(msg) from None
    except (TypeError, ValueError):
        msg = "must be a URL such as redis://:password@host:6379/0"
        raise ValueError(msg) from None
    return url


def networks(text: str) -> tuple[str, ...]:
    """Parse addresses and networks, separated by commas, or `*` for all."""
    networks = tuple(network.strip() for network in text.split(","))
    try:
        for network in networks:
            if networks != ("*",):
                ip_network(network)
    except ValueError:
        msg = f"must list addresses and networks such as 10.0.0.0/8, or be *, not {network!r}"
        raise ValueError(msg) from None
    return networks


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a parser of some words, in upper or lower case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            msg = f"must be one of {', '.join(choices)}, not {text!r}"
            raise ValueError(msg)
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """Parse true or false."""
    if text.lower() not in {"true", "false"}:
        msg = f"must be true or false, not {text!r}"
        raise ValueError(msg)
    return text.lower() == "true"
