"""The service's settings, read once from the environment and `.env`.

The sources of pydantic-settings itself are off, for two reasons. An empty variable in the
environment must hide the one in `.env`, and callers must be able to pass a mapping, from
which alone the settings are then read. So `load` selects the variables and passes them on.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import dotenv
from pydantic import (
    AliasGenerator,
    BeforeValidator,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

MIN_SECRET_BYTES = 32
DEFAULT_ORIGINS = tuple(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 3001)
)
LOG_LEVELS = ("debug", "info", "warning", "error")
MAX_LIMITS = 4
MAX_WINDOW = 86_400
MAX_HITS = 1_000_000_000

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


class SettingError(Exception):
    """A setting is missing or invalid; the text is one sentence that names it."""


def _secret(text: str) -> bytes:
    secret = text.encode()
    if len(secret) < MIN_SECRET_BYTES:
        msg = f"must be at least {MIN_SECRET_BYTES} bytes long, and has {len(secret)}"
        raise ValueError(msg)
    return secret


def _web_url(text: str) -> str:
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", text) or re.search(r"[@#]", text):
        msg = "must be a URL such as https://todo.example, without a password in it"
        raise ValueError(msg)
    return text


def _claim(text: str) -> tuple[str, ...]:
    """Parse the path of a claim: dots separate names, except in a name that is a URL."""
    path = (text,) if "/" in text else tuple(text.split("."))
    if not all(path):
        msg = f"must be a claim's name, or a path such as user.id, not {text!r}"
        raise ValueError(msg)
    return path


def _claims(text: str) -> tuple[tuple[str, ...], ...]:
    """Parse the paths of several claims, separated by commas."""
    return tuple(_claim(path.strip()) for path in text.split(","))


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        url = urlsplit(origin)
        if url.scheme not in {"http", "https"} or f"{url.scheme}://{url.netloc}" != origin:
            msg = f"must list origins such as http://localhost:3000, not {origin!r}"
            raise ValueError(msg)
    return origins


def _database_url(text: str) -> str:
    """Rewrite the URL of another driver or ORM as libpq reads it."""
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


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            msg = f"must be a whole number from {low} to {high}, not {text!r}"
            raise ValueError(msg)
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:  # noqa: PLR2004 (an hour)
        msg = f"must be a number of seconds, not {text!r}"
        raise ValueError(msg)
    return seconds


def _rate_limits(text: str) -> tuple[tuple[int, int], ...]:
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


def _redis_url(text: str) -> str:
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


def _networks(text: str) -> tuple[str, ...]:
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


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        msg = f"must be one of {', '.join(LOG_LEVELS)}, not {text!r}"
        raise ValueError(msg)
    return text.lower()


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        msg = f"must be true or false, not {text!r}"
        raise ValueError(msg)
    return text.lower() == "true"


def _text(parse: Callable[[str], Any]) -> BeforeValidator:
    """Parse a variable's text; a value that code passes has its type already."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _jwks_url(data: Mapping[str, Any]) -> str | None:
    """Return where Better Auth publishes its keys.

    As for Better Auth itself, a path in its URL replaces `/api/auth`.
    """
    if not (url := data.get("better_auth_url")):
        return None
    base = url.rstrip("/")
    return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def _cors_origins(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Add Better Auth's origin to the default ones, as browsers write it (RFC 6454, 6.2)."""
    if not (better_auth_url := data.get("better_auth_url")):
        return DEFAULT_ORIGINS
    url = urlsplit(better_auth_url)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    default_port = {"http": 80, "https": 443}[url.scheme]
    port = "" if url.port in {None, default_port} else f":{url.port}"
    return tuple(dict.fromkeys([*DEFAULT_ORIGINS, f"{url.scheme}://{host}{port}"]))


_WebURL = Annotated[str, _text(_web_url)]
_DatabaseURL = Annotated[SecretStr, _text(_database_url)]
_Seconds = Annotated[float, _text(_seconds)]
_RateLimits = Annotated[tuple[tuple[int, int], ...], _text(_rate_limits)]


class Settings(BaseSettings):
    """Everything that can be set; `.env.example` explains each.

    Times are in seconds. `secret` and `database_url` may be None until they are provided:
    by the environment, or by the command line for development. Neither they nor what
    validation says of them show a secret or a password.
    """

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=str.upper),
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    secret: Annotated[SecretBytes | None, _text(_secret)] = Field(
        default=None, validation_alias="BETTER_AUTH_SECRET"
    )
    better_auth_url: _WebURL | None = None
    jwks_url: _WebURL | None = Field(default_factory=_jwks_url)
    jwt_user_claim: Annotated[tuple[tuple[str, ...], ...], _text(_claims)] = (
        ("sub",),
        ("user", "id"),
    )
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    cors_origins: Annotated[tuple[str, ...], _text(_origins)] = Field(
        default_factory=_cors_origins
    )
    host: str = "127.0.0.1"
    port: Annotated[int, _text(_integer(1, 65535))] = 8000
    workers: Annotated[int, _text(_integer(1, 64))] = 1
    rate_limit: _RateLimits = ()
    invalid_token_limit: _RateLimits = ()
    """Pairs of hits and seconds; unlimited if there are none."""
    rate_limit_storage: Annotated[SecretStr | None, _text(_redis_url)] = None
    forwarded_allow_ips: Annotated[tuple[str, ...], _text(_networks)] = ("127.0.0.1", "::1")
    log_level: Annotated[str, _text(_log_level)] = "info"
    access_log: Annotated[bool, _text(_boolean)] = False
    data_dir: Path = Path(".data")
    database_url: _DatabaseURL | None = None
    migration_database_url: _DatabaseURL | None = None
    pool_size: Annotated[int, _text(_integer(1, 1000))] = Field(
        default=10, validation_alias="DATABASE_POOL_SIZE"
    )
    queue_size: Annotated[int, _text(_integer(1, 100_000))] = Field(
        default=1000, validation_alias="DATABASE_QUEUE_SIZE"
    )
    queue_timeout: _Seconds = Field(default=2.0, validation_alias="DATABASE_QUEUE_TIMEOUT")
    statement_timeout: _Seconds = Field(
        default=5.0, validation_alias="DATABASE_STATEMENT_TIMEOUT"
    )
    deletion_retention: Annotated[int, _text(_integer(1, 3650))] = Field(
        default=90, validation_alias="DELETION_RETENTION_DAYS"
    )
    """In days."""

    @classmethod
    def settings_customise_sources(
        cls, *_: Any, **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is passed to the constructor and nothing else."""
        return (sources["init_settings"],)

    @model_validator(mode="after")
    def _require_keys(self) -> Self:
        if self.database_url and self.secret is None and self.jwks_url is None:
            msg = (
                "BETTER_AUTH_SECRET is not set: with a DATABASE_URL of your own it must be "
                "the secret that Better Auth uses, unless BETTER_AUTH_URL or JWKS_URL says "
                "where its keys are published"
            )
            raise ValueError(msg)
        return self


NAMES = tuple(str(field.validation_alias) for field in Settings.model_fields.values())


def read_env_file(path: Path = Path(".env")) -> None:
    """Add a file's variables to the environment, which wins over the file.

    Raises SettingError if the file is there and cannot be read.
    """
    try:
        dotenv.load_dotenv(path)
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}."
        raise SettingError(msg) from None


def load(environment: Mapping[str, str | None]) -> Settings:
    """Read the settings from these variables alone; an empty one counts as not set.

    Blanks around a value are removed, except from the secret, which Better Auth uses as it
    is. Raises SettingError for the first setting that is invalid.
    """
    variables = {name: environment.get(name) or "" for name in NAMES}
    secret = {"BETTER_AUTH_SECRET": variables.pop("BETTER_AUTH_SECRET")}
    values = secret | {name: text.strip() for name, text in variables.items()}
    try:
        return Settings.model_validate({name: text for name, text in values.items() if text})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        raise SettingError(" ".join([*map(str, first["loc"]), f"{reason}."])) from None
