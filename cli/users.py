"""Commands that concern one user."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import settings as configuration
from app.lifespan import opened_database
from cli.database import with_database
from models import tasks
from models.blocked_users import EFFECTIVE_WITHIN, block_user, unblock_user
from models.postgres.database import Database
from settings import SettingError, Settings

Result = TypeVar("Result")

# Seconds: a user may have a million tasks, and no request waits for this connection.
_STATEMENT_TIMEOUT = 3600.0


def export(options: argparse.Namespace) -> None:
    """Print a user's tasks as JSON Lines, in UTF-8 whatever the locale is."""
    exported = _on_database(tasks.export_tasks, options.user)
    sys.stdout.buffer.writelines(task + b"\n" for task in exported)


def erase(options: argparse.Namespace) -> None:
    """Delete everything about a user, after a confirmation."""
    question = f"Delete every task of {options.user!r}, for good? Type yes: "
    if not options.yes and _ask(question) != "yes":
        msg = "Nothing was deleted."
        raise SettingError(msg)
    erased = _on_database(tasks.erase_user, options.user)
    print(
        f"Erased {options.user!r}." if erased else f"There is nothing about {options.user!r}."
    )


def block(options: argparse.Namespace) -> None:
    """Block a user."""
    if _on_database(block_user, options.user):
        print(f"Blocked {options.user!r}, in every process within {EFFECTIVE_WITHIN} seconds.")
    else:
        print(f"{options.user!r} is blocked already.")


def unblock(options: argparse.Namespace) -> None:
    """Unblock a user."""
    if _on_database(unblock_user, options.user):
        print(
            f"Unblocked {options.user!r}, in every process within {EFFECTIVE_WITHIN} seconds."
        )
    else:
        print(f"{options.user!r} is not blocked.")


def _ask(question: str) -> str:
    """Return the answer, which is empty at the end of the input."""
    try:
        return input(question)
    except EOFError:
        return ""


def _on_database(operation: Callable[[Database, str], Awaitable[Result]], user: str) -> Result:
    """Run one operation on the database of the settings, for one user."""

    async def run(settings: Settings) -> Result:
        settings = settings.model_copy(update={"statement_timeout": _STATEMENT_TIMEOUT})
        async with opened_database(settings) as database:
            return await operation(database, user)

    with with_database(configuration.load(os.environ)) as settings:
        return asyncio.run(run(settings))
