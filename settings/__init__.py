"""The service's settings, read once from the environment and `.env`.

The sources of pydantic-settings itself are off, for two reasons. An empty variable in the
environment must hide the one in `.env`, and callers must be able to pass a mapping, from
which alone the settings are then read. So `load` selects the variables and passes them on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
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

from settings import parsers

DEFAULT_ORIGINS = tuple(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 3001)
)


class SettingError(Exception):
    """A setting is missing or invalid; the text is one sentence that names it."""


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
    """Add Better Auth's origin to the default ones."""
    if not (better_auth_url := data.get("better_auth_url")):
        return DEFAULT_ORIGINS
    return tuple(dict.fromkeys([*DEFAULT_ORIGINS, parsers.origin(better_auth_url)]))


_WebURL = Annotated[str, _text(parsers.web_url)]
_DatabaseURL = Annotated[SecretStr, _text(parsers.libpq_url)]
_Seconds = Annotated[float, _text(parsers.seconds)]
_RateLimits = Annotated[tuple[tuple[int, int], ...], _text(parsers.rate_limits)]


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

    secret: Annotated[SecretBytes | None, _text(parsers.secret)] = Field(
        default=None, validation_alias="BETTER_AUTH_SECRET"
    )
    previous_secret: Annotated[SecretBytes | None, _text(parsers.secret)] = Field(
        default=None, validation_alias="BETTER_AUTH_SECRET_PREVIOUS"
    )
    """Accepted, but never signed with."""
    better_auth_url: _WebURL | None = None
    jwks_url: _WebURL | None = Field(default_factory=_jwks_url)
    jwt_user_claim: Annotated[tuple[tuple[str, ...], ...], _text(parsers.claims)] = (
        ("sub",),
        ("user", "id"),
    )
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    cors_origins: Annotated[tuple[str, ...], _text(parsers.origins)] = Field(
        default_factory=_cors_origins
    )
    host: str = "127.0.0.1"
    port: Annotated[int, _text(parsers.integer(1, 65535))] = 8000
    workers: Annotated[int, _text(parsers.integer(1, 64))] = 1
    root_path: Annotated[str, _text(parsers.root_path)] = ""
    head_timeout: _Seconds = 10.0
    body_timeout: _Seconds = 30.0
    write_timeout: _Seconds = 30.0
    keep_alive_timeout: _Seconds = 5.0
    shutdown_delay: Annotated[int, _text(parsers.integer(0, 3600))] = 0
    shutdown_timeout: _Seconds = 10.0
    max_head_bytes: Annotated[int, _text(parsers.integer(1024, 1_048_576))] = 65_536
    max_headers: Annotated[int, _text(parsers.integer(10, 10_000))] = 100
    max_connections: Annotated[int, _text(parsers.integer(1, 65_536))] = 10_000
    rate_limit: _RateLimits = ()
    invalid_token_limit: _RateLimits = ()
    """Pairs of hits and seconds; unlimited if there are none."""
    rate_limit_storage: Annotated[SecretStr | None, _text(parsers.redis_url)] = None
    forwarded_allow_ips: Annotated[tuple[str, ...], _text(parsers.networks)] = (
        "127.0.0.1",
        "::1",
    )
    log_level: Annotated[str, _text(parsers.one_of(parsers.LOG_LEVELS))] = "info"
    log_format: Annotated[str, _text(parsers.one_of(parsers.LOG_FORMATS))] = "text"
    access_log: Annotated[bool, _text(parsers.boolean)] = False
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int | None, _text(parsers.integer(1, 65535))] = None
    data_dir: Path = Path(".data")
    database_url: _DatabaseURL | None = None
    migration_database_url: _DatabaseURL | None = None
    allow_privileged_login: Annotated[bool, _text(parsers.boolean)] = Field(
        default=False, validation_alias="DATABASE_ALLOW_PRIVILEGED_LOGIN"
    )
    database_kind: Annotated[
        Literal["postgresql", "citus"], _text(parsers.one_of(("postgresql", "citus")))
    ] = "postgresql"
    pool_size: Annotated[int, _text(parsers.integer(1, 1000))] = Field(
        default=10, validation_alias="DATABASE_POOL_SIZE"
    )
    queue_size: Annotated[int, _text(parsers.integer(1, 100_000))] = Field(
        default=1000, validation_alias="DATABASE_QUEUE_SIZE"
    )
    queue_timeout: _Seconds = Field(default=2.0, validation_alias="DATABASE_QUEUE_TIMEOUT")
    statement_timeout: _Seconds = Field(
        default=5.0, validation_alias="DATABASE_STATEMENT_TIMEOUT"
    )
    slow_statement: Annotated[float, _text(parsers.seconds_or_off)] = Field(
        default=0.5, validation_alias="DATABASE_SLOW_STATEMENT"
    )
    deletion_retention: Annotated[int, _text(parsers.integer(1, 3650))] = Field(
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
        if self.previous_secret and self.secret is None:
            msg = (
                "BETTER_AUTH_SECRET is not set: BETTER_AUTH_SECRET_PREVIOUS is only for "
                "tokens signed before BETTER_AUTH_SECRET was changed"
            )
            raise ValueError(msg)
        return self


_SECRETS = {"BETTER_AUTH_SECRET", "BETTER_AUTH_SECRET_PREVIOUS"}
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

    Blanks around a value are removed, except from secrets, which Better Auth uses as they
    are. Raises SettingError for the first setting that is invalid.
    """
    variables = {name: environment.get(name) or "" for name in NAMES}
    values = {
        name: text if name in _SECRETS else text.strip() for name, text in variables.items()
    }
    try:
        return Settings.model_validate({name: text for name, text in values.items() if text})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        raise SettingError(" ".join([*map(str, first["loc"]), f"{reason}."])) from None
