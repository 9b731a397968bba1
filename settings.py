"""The service's settings, read once from the environment and `.env`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MIN_SECRET_BYTES = 32
DEFAULT_ORIGINS = ("http://localhost:3000", "http://localhost:3001")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(Exception):
    """A setting is missing or wrong; the text is one sentence that says which."""


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
    """Read the way to a claim: dots lead into objects, but not in names that are URLs."""
    path = (text,) if "/" in text else tuple(text.split("."))
    if not all(path):
        msg = f"must be a claim's name, or a path such as user.id, not {text!r}"
        raise ValueError(msg)
    return path


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        url = urlsplit(origin)
        if url.scheme not in {"http", "https"} or f"{url.scheme}://{url.netloc}" != origin:
            msg = f"must list origins such as http://localhost:3000, not {origin!r}"
            raise ValueError(msg)
    return origins


def _database_url(text: str) -> str:
    if urlsplit(text).scheme not in {"postgresql", "postgres"}:
        msg = "must be a URL such as postgresql://user:password@host:5432/todo"
        raise ValueError(msg)
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
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


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        msg = f"must be one of {', '.join(LOG_LEVELS)}, not {text!r}"
        raise ValueError(msg)
    return text.lower()


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        msg = f"must be true or false, not {text!r}"
        raise ValueError(msg)
    return text.lower() == "true"


def _from(name: str, parse: Callable[[str], Any], default: Any) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set; `.env.example` explains each.

    Times are in seconds. `secret` and `database_url` may be None until somebody
    provides them: the environment, or the command line for development.
    """

    secret: bytes | None = _from("BETTER_AUTH_SECRET", _secret, None)
    better_auth_url: str | None = _from("BETTER_AUTH_URL", _web_url, None)
    jwks_url: str | None = _from("JWKS_URL", _web_url, None)
    jwt_user_claim: tuple[str, ...] = _from("JWT_USER_CLAIM", _claim, ("sub",))
    jwt_issuer: str | None = _from("JWT_ISSUER", str, None)
    jwt_audience: str | None = _from("JWT_AUDIENCE", str, None)
    cors_origins: tuple[str, ...] = _from("CORS_ORIGINS", _origins, DEFAULT_ORIGINS)
    host: str = _from("HOST", str, "127.0.0.1")
    port: int = _from("PORT", _whole(1, 65535), 8000)
    workers: int = _from("WORKERS", _whole(1, 64), 1)
    log_level: str = _from("LOG_LEVEL", _log_level, "info")
    access_log: bool = _from("ACCESS_LOG", _switch, default=False)
    compiled: bool = _from("COMPILED", _switch, default=True)
    data_dir: Path = _from("DATA_DIR", Path, Path(".data"))
    database_url: str | None = _from("DATABASE_URL", _database_url, None)
    migration_database_url: str | None = _from("MIGRATION_DATABASE_URL", _database_url, None)
    pool_size: int = _from("DATABASE_POOL_SIZE", _whole(1, 1000), 10)
    queue_size: int = _from("DATABASE_QUEUE_SIZE", _whole(1, 100_000), 1000)
    queue_timeout: float = _from("DATABASE_QUEUE_TIMEOUT", _seconds, 2.0)
    statement_timeout: float = _from("DATABASE_STATEMENT_TIMEOUT", _seconds, 5.0)


NAMES = tuple(setting.metadata["name"] for setting in fields(Settings))


def load(environment: Mapping[str, str | None]) -> Settings:
    """Read the settings from variables by name; an empty one counts as not set.

    Raises SettingError at the first that cannot be used.
    """
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        name = setting.metadata["name"]
        text = environment.get(name)
        if not text:
            continue
        try:
            values[setting.name] = setting.metadata["parse"](text)
        except ValueError as error:
            msg = f"{name} {error}."
            raise SettingError(msg) from None
    if url := values.get("better_auth_url"):
        values.setdefault("jwks_url", _published_at(url))
        values.setdefault("cors_origins", _with_origin_of(url))
    settings = Settings(**values)
    if settings.database_url and settings.secret is None and settings.jwks_url is None:
        msg = (
            "BETTER_AUTH_SECRET is not set: with a DATABASE_URL of your own it must be "
            "the secret that Better Auth uses, unless BETTER_AUTH_URL or JWKS_URL says "
            "where its keys are published."
        )
        raise SettingError(msg)
    return settings


def _published_at(better_auth_url: str) -> str:
    """Say where Better Auth publishes its keys.

    As for Better Auth itself, a path in its URL takes the place of `/api/auth`.
    """
    base = better_auth_url.rstrip("/")
    return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def _with_origin_of(better_auth_url: str) -> tuple[str, ...]:
    """Add an origin to the usual ones, as browsers write it (RFC 6454, 6.2)."""
    url = urlsplit(better_auth_url)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    usual = {"http": 80, "https": 443}[url.scheme]
    port = "" if url.port in {None, usual} else f":{url.port}"
    return tuple(dict.fromkeys([*DEFAULT_ORIGINS, f"{url.scheme}://{host}{port}"]))
