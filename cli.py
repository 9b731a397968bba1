"""The command `todo-api`: serve, migrate, and tokens for development."""

import argparse
import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import uvicorn
from pydantic import SecretBytes, SecretStr

import settings as configuration
from app import DEVELOPMENT, check_database, origin, sign_token
from handlers import listening
from handlers.auth.verifier import is_user_id
from handlers.site.dev_tokens import LOOPBACK
from models import embedded, migrate
from models.errors import TodoError
from settings import SettingError, Settings

UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=36_500)
GRACE_SECONDS = 10

DESCRIPTION = """\
The todo API. Without a DATABASE_URL it brings its own PostgreSQL, with the
data under DATA_DIR (.data). Every setting is an environment variable, or a
line in .env; .env.example explains them all."""

WELCOME = """
Todo API

  the API        {url}/api/tasks
  try it out     {url}/docs
  the contract   {url}/openapi.yaml

A development token for the user "alice", good for a day:

  curl {url}/api/tasks -H "Authorization: Bearer {token}"

More of them: .venv/bin/todo-api token --user bob
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 after an error in one sentence."""
    # Ends the process in good order, through every `finally` on the way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal closes, without nohup
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    options = _parser().parse_args(arguments)
    try:
        configuration.read_env_file()
        options.run(options)
    except (SettingError, TodoError) as error:
        print(f"todo-api: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="todo-api",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="migrate the database, then serve the API")
    command.add_argument("--workers", metavar="N", help="processes that serve (WORKERS, 1)")
    command.add_argument("--host", help="address to listen on (HOST, 127.0.0.1)")
    command.add_argument("--port", help="port to listen on (PORT, 8000)")
    command.set_defaults(run=_serve)

    command = commands.add_parser("migrate", help="bring the database up to date, and stop")
    command.set_defaults(run=_migrate)

    command = commands.add_parser("token", help="print a token for development")
    command.add_argument("--user", required=True, metavar="ID", help="whose it is")
    command.add_argument(
        "--ttl",
        type=_duration,
        default=timedelta(days=1),
        help="how long it is good for, such as 15m, 12h or 7d (1d)",
    )
    command.set_defaults(run=_token)
    return parser


def _serve(options: argparse.Namespace) -> None:
    for name in ("workers", "host", "port"):
        if getattr(options, name) is not None:
            os.environ[name.upper()] = getattr(options, name)
    given = configuration.load(os.environ)
    settings = _with_secret(given)
    _refuse_port_in_use(settings)
    with _database(settings) as ready:
        _upgrade(ready)
        asyncio.run(check_database(ready))
        _hand_down(ready, development=is_development(given))
        if settings.database_url is None:
            _welcome(ready)
        config = uvicorn.Config(
            "app:from_environment",
            factory=True,
            host=ready.host,
            port=ready.port,
            workers=ready.workers,
            http="handlers.server.protocol:Protocol",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here depends on the client's address
            timeout_graceful_shutdown=GRACE_SECONDS,
            # Workers that are still importing do not answer yet, and with the
            # default of 5 seconds a busy machine would replace them for ever.
            timeout_worker_healthcheck=60,
        )
        listening.serve(config)


def _migrate(_options: argparse.Namespace) -> None:
    with _database(configuration.load(os.environ)) as settings:
        _upgrade(settings)


def _upgrade(settings: Settings) -> None:
    assert settings.database_url is not None
    owner = settings.migration_database_url or settings.database_url
    migrate.upgrade(owner.get_secret_value(), settings.database_url.get_secret_value())


def _token(options: argparse.Namespace) -> None:
    print(token(_with_secret(configuration.load(os.environ)), options.user, options.ttl))


def token(settings: Settings, user: str, ttl: timedelta) -> str:
    """Sign a token for a user as Better Auth's users do with a shared secret.

    Raises SettingError for something that cannot be a user's id, and without a secret.
    """
    if not is_user_id(user):
        msg = "A user id is 1 to 255 characters, none of them a control character."
        raise SettingError(msg)
    if settings.secret is None:
        msg = "BETTER_AUTH_SECRET is not set: without it only Better Auth can sign tokens."
        raise SettingError(msg)
    return sign_token(settings, user, ttl)


def _with_secret(settings: Settings) -> Settings:
    """Keep the secret that is set; else use one for development, made once.

    Who brings a database is not developing, and may leave tokens to published keys.
    """
    if settings.secret is not None or settings.database_url is not None:
        return settings
    path = settings.data_dir / "better-auth-secret"
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(path, secrets.token_urlsafe(32))
            print(
                f"BETTER_AUTH_SECRET is not set: made one for development in {path}.",
                file=sys.stderr,
            )
        secret = path.read_bytes()
    except OSError as error:
        msg = f"BETTER_AUTH_SECRET is not set, and {path} cannot be used: {error.strerror}."
        raise SettingError(msg) from None
    if not re.fullmatch(rb"[!-~]{32,}", secret):
        msg = f"{path} is damaged: remove it, and a new secret will be made."
        raise SettingError(msg)
    return settings.model_copy(update={"secret": SecretBytes(secret)})


def _write_once(path: Path, text: str) -> None:
    """Write a private file whole or not at all; whoever comes second changes nothing."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


@contextmanager
def _database(settings: Settings) -> Iterator[Settings]:
    """Provide a database: the one that is set, or the embedded PostgreSQL."""
    if settings.database_url is not None:
        yield settings
        return
    with embedded.running(settings.data_dir) as urls:
        provided = {
            "database_url": SecretStr(urls.app),
            "migration_database_url": SecretStr(urls.owner),
        }
        yield settings.model_copy(update=provided)


def is_development(given: Settings) -> bool:
    """Tell whether nobody but this machine can come, and nothing here is anybody else's."""
    return given.database_url is None and given.secret is None and given.host in LOOPBACK


def _hand_down(settings: Settings, *, development: bool) -> None:
    """Tell the processes that serve what has been provided here."""
    assert settings.database_url is not None
    if settings.secret is not None:
        os.environ["BETTER_AUTH_SECRET"] = settings.secret.get_secret_value().decode()
    os.environ["DATABASE_URL"] = settings.database_url.get_secret_value()
    os.environ[DEVELOPMENT] = str(development).lower()


def _welcome(settings: Settings) -> None:
    print(
        WELCOME.format(url=origin(settings), token=token(settings, "alice", timedelta(days=1))),
        flush=True,
    )


def _refuse_port_in_use(settings: Settings) -> None:
    """Say it in one sentence, before anything has been started."""
    try:
        with socket.socket(
            socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        ) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:  # the latter for what can be no host's name
        address = f"{settings.host}:{settings.port}"
        reason = getattr(error, "strerror", None) or "no such host"
        msg = f"Cannot listen on {address} ({reason}): set HOST or PORT."
        raise SettingError(msg) from None


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    duration = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < duration <= LONGEST:
        msg = f"{text!r} is not a duration such as 15m, 12h or 7d"
        raise argparse.ArgumentTypeError(msg)
    return duration


if __name__ == "__main__":
    sys.exit(main())
