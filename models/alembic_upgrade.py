"""Running Alembic, which needs SQLAlchemy's connections."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from models.errors import MigrationFailed
from models.migrate import SCRIPTS, lock, opened
from models.postgres.dsn import describe_dsn


def run_migrations(url: str) -> None:
    """Run pending migrations. Raises MigrationFailed."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with sqlalchemy_connected(url) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            message = f"Cannot migrate {describe_dsn(url)}: {error}"
            raise MigrationFailed(message) from error


@contextmanager
def sqlalchemy_connected(url: str) -> Iterator[sa.Connection]:
    """Connect, and commit one transaction on exit, as `migrate.connected` does."""
    with opened(url) as raw:
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: raw, poolclass=sa.NullPool
        )
        try:
            with engine.begin() as connection:
                lock(raw)
                yield connection
        except sa.exc.DBAPIError as error:
            raise error.orig or error from None
