"""The command `todo-api`: serve, migrate, care for data, and tokens for development."""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from pydantic import SecretBytes, SecretStr

import settings as configuration
from app import (
    DEVELOPMENT,
    METRICS_DIR,
    create_limits,
    opened_database,
    origin,
    sign_token,
)
from handlers.auth import dev_secret
from handlers.auth.dev_secret import DevSecretError
from handlers.auth.verifier import is_user_id
from handlers.observability.logs import configure_logging
from handlers.server.run import CannotListen, check_address, run
from handlers.site.dev_tokens import LOOPBACK
from models import embedded, migrate, tasks
from models.blocked_users import EFFECTIVE_WITHIN, block_user, unblock_user
from models.errors import TodoError
from models.postgres.database import Database
from models.restore import advance_revisions
from settings import SettingError, Settings

Result = TypeVar("Result")

UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_TTL = timedelta(days=36_500)
ONE_DAY = timedelta(days=1)

DESCRIPTION = """\
The todo API. Without a DATABASE_URL it brings its own PostgreSQL, with the
data under DATA_DIR (.data). Every setting is an environment variable, or a
line in .env; .env.example explains them all."""

ERASE = """\
A user whose token is still valid may come back, with an empty list. To prevent
that, block the user first; a block outlasts the erasure."""

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
    # Exits through every `finally` on the way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal closes, without nohup
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    options = _parser().parse_args(arguments)
    try:
        configuration.read_env_file()
        options.run(options)
    except (SettingError, TodoError, DevSecretError, CannotListen) as error:
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
    user = argparse.ArgumentParser(add_help=False)
    user.add_argument(
        "--user", required=True, type=_user_id, metavar="ID", help="the user's id"
    )

    command = commands.add_parser("serve", help="migrate the database, then serve the API")
    command.add_argument("--workers", metavar="N", help="processes that serve (WORKERS, 1)")
    command.add_argument("--host", help="address to listen on (HOST, 127.0.0.1)")
    command.add_argument("--port", help="port to listen on (PORT, 8000)")
    command.set_defaults(run=_serve)

    command = commands.add_parser("migrate", help="bring the database up to date, and stop")
    command.set_defaults(run=_migrate)

    command = commands.add_parser(
        "after-restore", help="after restoring a backup: make clients read everything again"
    )
    command.set_defaults(run=_after_restore)

    command = commands.add_parser(
        "export", parents=[user], help="print a user's tasks as JSON Lines"
    )
    command.set_defaults(run=_export)

    command = commands.add_parser(
        "erase", parents=[user], help="delete everything about a user", epilog=ERASE
    )
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    command.set_defaults(run=_erase)

    command = commands.add_parser(
        "block", parents=[user], help="refuse a user, whatever token they have"
    )
    command.set_defaults(run=_block)

    command = commands.add_parser("unblock", parents=[user], help="serve a blocked user again")
    command.set_defaults(run=_unblock)

    command = commands.add_parser("token", parents=[user], help="print a token for development")
    command.add_argument(
        "--ttl",
        type=_duration,
        default=ONE_DAY,
        help="how long it is good for, such as 15m, 12h or 7d (1d)",
    )
    command.set_defaults(run=_token)
    return parser


def _serve(options: argparse.Namespace) -> None:
    for name in ("workers", "host", "port"):
        if getattr(options, name) is not None:
            os.environ[name.upper()] = getattr(options, name)
    given = configuration.load(os.environ)
    configure_logging(given.log_level, given.log_format)
    settings = _with_dev_secret(given, create=True)
    check_address(settings.host, settings.port)
    with _with_metrics(settings), _with_database(settings) as complete:
        _upgrade(complete)
        asyncio.run(_check_database(complete))
        _export_to_workers(complete, development=is_development(given))
        if given.database_url is None:
            _welcome(complete)
        run(
            "app:from_environment",
            host=complete.host,
            port=complete.port,
            workers=complete.workers,
            limits=create_limits(complete),
            shutdown_timeout=complete.shutdown_timeout,
            root_path=complete.root_path,
        )


def _migrate(_options: argparse.Namespace) -> None:
    with _with_database(configuration.load(os.environ)) as settings:
        _upgrade(settings)


async def _check_database(settings: Settings) -> None:
    async with opened_database(settings):
        pass


def _after_restore(_options: argparse.Namespace) -> None:
    with _with_database(configuration.load(os.environ)) as settings:
        _upgrade(settings)
        users = advance_revisions(_owner_url(settings))
    print(f"The clients of {users} users will read everything again.")


def _export(options: argparse.Namespace) -> None:
    for task in _on_database(tasks.export_tasks, options.user):
        print(task.decode())


def _erase(options: argparse.Namespace) -> None:
    question = f"Delete every task of {options.user!r}, for good? Type yes: "
    if not options.yes and input(question) != "yes":
        msg = "Nothing was deleted."
        raise SettingError(msg)
    erased = _on_database(tasks.erase_user, options.user)
    print(
        f"Erased {options.user!r}." if erased else f"There is nothing about {options.user!r}."
    )


def _block(options: argparse.Namespace) -> None:
    if _on_database(block_user, options.user):
        print(f"Blocked {options.user!r}, in every process within {EFFECTIVE_WITHIN} seconds.")
    else:
        print(f"{options.user!r} is blocked already.")


def _unblock(options: argparse.Namespace) -> None:
    if _on_database(unblock_user, options.user):
        print(
            f"Unblocked {options.user!r}, in every process within {EFFECTIVE_WITHIN} seconds."
        )
    else:
        print(f"{options.user!r} is not blocked.")


def _on_database(operation: Callable[[Database, str], Awaitable[Result]], user: str) -> Result:
    """Run one operation on the database of the settings, for one user."""

    async def run(settings: Settings) -> Result:
        async with opened_database(settings) as database:
            return await operation(database, user)

    with _with_database(configuration.load(os.environ)) as settings:
        return asyncio.run(run(settings))


def _token(options: argparse.Namespace) -> None:
    settings = configuration.load(os.environ)
    settings = _with_dev_secret(settings)
    if settings.secret is None:
        msg = "BETTER_AUTH_SECRET is not set: without it only Better Auth can sign tokens."
        raise SettingError(msg)
    print(sign_token(settings, options.user, options.ttl))


def is_development(given: Settings) -> bool:
    """Return whether only this machine can connect, and the secret and data are our own."""
    return given.database_url is None and given.secret is None and given.host in LOOPBACK


def _with_dev_secret(settings: Settings, *, create: bool = False) -> Settings:
    """Return the settings with the development secret, if they need one.

    With a DATABASE_URL they do not: tokens may then be verified by published keys alone.
    """
    if settings.secret is not None or settings.database_url is not None:
        return settings
    path = settings.data_dir / dev_secret.FILE_NAME
    if create and dev_secret.create(path):
        notice = f"BETTER_AUTH_SECRET is not set: made one for development in {path}."
        print(notice, file=sys.stderr)
    secret = SecretBytes(dev_secret.load(path))
    return settings.model_copy(update={"secret": secret})


@contextmanager
def _with_database(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with a database: their own, or the embedded PostgreSQL."""
    if settings.database_url is not None:
        yield settings
        return
    with embedded.running(settings.data_dir) as urls:
        provided = {
            "database_url": SecretStr(urls.app),
            "migration_database_url": SecretStr(urls.owner),
        }
        yield settings.model_copy(update=provided)


@contextmanager
def _with_metrics(settings: Settings) -> Iterator[None]:
    """Serve /metrics, if there is a port for it, and tell the workers where to report."""
    if settings.metrics_port is None:
        os.environ.pop(METRICS_DIR, None)
        yield
        return
    from handlers.observability.exporter import serving_metrics  # noqa: PLC0415 (takes 50 ms)

    address = settings.metrics_host, settings.metrics_port
    check_address(*address, "METRICS_HOST or METRICS_PORT")
    with serving_metrics(*address) as directory:
        os.environ[METRICS_DIR] = str(directory)
        yield


def _upgrade(settings: Settings) -> None:
    assert settings.database_url is not None
    migrate.upgrade(
        _owner_url(settings),
        settings.database_url.get_secret_value(),
        distribute=settings.database_kind == "citus",
    )


def _owner_url(settings: Settings) -> str:
    owner = settings.migration_database_url or settings.database_url
    assert owner is not None
    return owner.get_secret_value()


def _export_to_workers(settings: Settings, *, development: bool) -> None:
    """Put what this process has provided into the environment, which workers inherit."""
    assert settings.database_url is not None
    if settings.secret is not None:
        os.environ["BETTER_AUTH_SECRET"] = settings.secret.get_secret_value().decode()
    os.environ["DATABASE_URL"] = settings.database_url.get_secret_value()
    os.environ[DEVELOPMENT] = str(development).lower()


def _welcome(settings: Settings) -> None:
    token = sign_token(settings, "alice", ONE_DAY)
    print(WELCOME.format(url=origin(settings), token=token), flush=True)


def _user_id(text: str) -> str:
    if not is_user_id(text):
        msg = "a user id is 1 to 255 characters, none of them a control character"
        raise argparse.ArgumentTypeError(msg)
    return text


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    duration = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < duration <= MAX_TTL:
        msg = f"{text!r} is not a duration such as 15m, 12h or 7d"
        raise argparse.ArgumentTypeError(msg)
    return duration


if __name__ == "__main__":
    sys.exit(main())
