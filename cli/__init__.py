"""The command `todo-api`: serve, migrate, care for data, and tokens for development."""

import argparse
import io
import logging
import os
import re
import signal
import sys
from datetime import timedelta

import settings as configuration
from cli.database import after_restore, backfill, migrate
from cli.development import ONE_DAY, token
from cli.messages import report
from cli.server import serve
from cli.users import block, erase, export, unblock
from handlers.auth.dev_secret import DevSecretError
from handlers.auth.verifier import is_user_id
from handlers.server.run import CannotListen
from models.blocked_users import EFFECTIVE_WITHIN
from models.errors import OutcomeUnknown, TodoError
from settings import SettingError

OUTCOME_UNKNOWN = """\
The connection to the database was lost, so this may or may not have been done: \
run the command again."""

UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_TTL = timedelta(days=36_500)

DESCRIPTION = """\
The todo API. Without a DATABASE_URL it brings its own PostgreSQL, with the
data under DATA_DIR (.data). Every setting is an environment variable, or a
line in .env; .env.example explains them all."""

ERASE = f"""\
A user whose token is still valid may come back, with an empty list. To prevent
that, block the user first, and wait {EFFECTIVE_WITHIN} seconds; a block outlasts the
erasure."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status, 1 after an error in one sentence."""
    # Exits through every `finally` on the way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal closes, without nohup
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    if isinstance(sys.stdout, io.TextIOWrapper):  # escapes a user's id, as standard error does
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)  # at exit, an error could not be caught
    except BrokenPipeError:  # standard output is a pipe that nobody reads any more
        # What is still buffered is flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        configuration.read_env_file()
        options.run(options)
    except (SettingError, TodoError, DevSecretError, CannotListen) as error:
        sentence = OUTCOME_UNKNOWN if isinstance(error, OutcomeUnknown) else str(error)
        report(sentence, logging.ERROR, prefix="todo-api: ")
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
    command.set_defaults(run=serve)

    command = commands.add_parser("migrate", help="bring the database up to date, and stop")
    command.set_defaults(run=migrate)

    command = commands.add_parser(
        "after-restore", help="after restoring a backup: make clients read everything again"
    )
    command.set_defaults(run=after_restore)

    command = commands.add_parser(
        "backfill", help="after an upgrade: store the JSON of tasks that it has made outdated"
    )
    command.set_defaults(run=backfill)

    command = commands.add_parser(
        "export", parents=[user], help="print a user's tasks as JSON Lines"
    )
    command.set_defaults(run=export)

    command = commands.add_parser(
        "erase", parents=[user], help="delete everything about a user", epilog=ERASE
    )
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    command.set_defaults(run=erase)

    command = commands.add_parser(
        "block", parents=[user], help="refuse a user, whatever token they have"
    )
    command.set_defaults(run=block)

    command = commands.add_parser("unblock", parents=[user], help="serve a blocked user again")
    command.set_defaults(run=unblock)

    command = commands.add_parser("token", parents=[user], help="print a token for development")
    command.add_argument(
        "--ttl",
        type=_duration,
        default=ONE_DAY,
        help="how long it is good for, such as 15m, 12h or 7d (1d)",
    )
    command.set_defaults(run=token)
    return parser


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
