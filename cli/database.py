"""The database of the settings, and the commands that concern it as a whole."""

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

import settings as configuration
from app.lifespan import opened_database
from models import embedded
from models.backfill import all_user_ids, store_json
from models.migrate import upgrade
from models.restore import advance_revisions
from settings import SettingError, Settings


def migrate(_options: argparse.Namespace) -> None:
    """Bring the database up to date."""
    with with_database(configuration.load(os.environ), create=True) as settings:
        upgrade_database(settings)


def after_restore(_options: argparse.Namespace) -> None:
    """Make clients read everything again; see `advance_revisions`."""
    with with_database(configuration.load(os.environ)) as settings:
        upgrade_database(settings)
        users = advance_revisions(_owner_url(settings))
    print(f"The clients of {users} users will read everything again.")


def backfill(_options: argparse.Namespace) -> None:
    """Store the JSON of tasks that an upgrade has made outdated; see `store_json`."""
    with with_database(configuration.load(os.environ)) as settings:
        upgrade_database(settings)
        tasks = asyncio.run(_backfill(settings))
    print(f"Stored the JSON of {tasks} tasks.")


async def _backfill(settings: Settings) -> int:
    async with opened_database(settings) as database:
        return await store_json(database, all_user_ids(_owner_url(settings)))


@contextmanager
def with_database(settings: Settings, *, create: bool = False) -> Iterator[Settings]:
    """Yield the settings with a database: their own, or the embedded PostgreSQL.

    Raises SettingError if there is none yet, unless it is to be created.
    """
    if settings.database_url is not None:
        yield settings
        return
    if not create and not embedded.exists(settings.data_dir):
        message = (
            "There is no database here: DATABASE_URL is not set, and no service has made "
            f"one in {settings.data_dir.absolute()}."
        )
        raise SettingError(message)
    with embedded.running(settings.data_dir) as urls:
        provided = {
            "database_url": SecretStr(urls.app),
            "migration_database_url": SecretStr(urls.owner),
        }
        yield settings.model_copy(update=provided)


def upgrade_database(settings: Settings) -> None:
    """Run pending migrations as the owner of the schema. Raises MigrationFailed."""
    assert settings.database_url is not None
    upgrade(
        _owner_url(settings),
        settings.database_url.get_secret_value(),
        distribute=settings.database_kind == "citus",
    )


def _owner_url(settings: Settings) -> str:
    owner = settings.migration_database_url or settings.database_url
    assert owner is not None
    return owner.get_secret_value()
