"""The command `serve`."""

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import settings as configuration
from app import DEVELOPMENT, METRICS_DIR
from app.components import create_limits
from app.lifespan import opened_database
from cli.database import upgrade_database, with_database
from cli.development import is_development, welcome, with_dev_secret
from handlers.observability.logs import configure_logging
from handlers.server.run import check_address, run
from settings import Settings


def serve(options: argparse.Namespace) -> None:
    """Migrate the database, then serve the API until a signal stops the process."""
    for name in ("workers", "host", "port"):
        if getattr(options, name) is not None:
            os.environ[name.upper()] = getattr(options, name)
    given = configuration.load(os.environ)
    configure_logging(given.log_level, given.log_format)
    settings = with_dev_secret(given, create=True)
    check_address(settings.host, settings.port)
    with _with_metrics(settings), with_database(settings, create=True) as complete:
        upgrade_database(complete)
        asyncio.run(_check_database(complete))
        _export_to_workers(complete, development=is_development(given))
        if given.database_url is None:
            welcome(complete)
        run(
            "app:from_environment",
            host=complete.host,
            port=complete.port,
            workers=complete.workers,
            limits=create_limits(complete),
            pool_size=complete.pool_size,
            shutdown_timeout=complete.shutdown_timeout,
            root_path=complete.root_path,
            allow_origins=complete.cors_origins,
        )


async def _check_database(settings: Settings) -> None:
    async with opened_database(settings):
        pass


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


def _export_to_workers(settings: Settings, *, development: bool) -> None:
    """Put what this process has provided into the environment, which workers inherit."""
    assert settings.database_url is not None
    if settings.secret is not None:
        os.environ["BETTER_AUTH_SECRET"] = settings.secret.get_secret_value().decode()
    os.environ["DATABASE_URL"] = settings.database_url.get_secret_value()
    os.environ[DEVELOPMENT] = str(development).lower()
