"""What an operator sees of the service, as the settings and the environment ask for it."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path

from handlers.auth import BearerAuth
from handlers.auth.cache import TokenCache
from handlers.auth.jwks import JWKSClient
from handlers.middleware.request_context import Observer
from handlers.observability import create_tracing
from handlers.observability.access_log import AccessLog
from handlers.observability.metrics import Figures, RequestMetrics, writing_snapshots
from handlers.server.stats import connection_stats
from models.postgres.database import Database
from openapi.contract import Contract
from settings import Settings

Background = AbstractAsyncContextManager[object]
"""What is open as long as the service runs."""


def create_observers(
    settings: Settings,
    contract: Contract,
    figures: Callable[[], Figures],
    metrics_dir: Path | None,
) -> tuple[list[Observer], list[Background]]:
    """Return what is called after each response, and what has to be open for that.

    `figures` are written to `metrics_dir`, if given, with those of requests.
    """
    observers: list[Observer] = []
    background: list[Background] = []
    if settings.access_log:
        observers.append(AccessLog(contract.user_scope))
    routes = {name: path for name, (path, _) in contract.operations.items()}
    if tracing := create_tracing(os.environ, contract.version, routes):
        observers.append(tracing)
        background.append(tracing.running())
    if metrics_dir is not None:
        requests = RequestMetrics({name: each[1] for name, each in contract.operations.items()})
        observers.append(requests)
        version = {"versions": {contract.version: 1}}
        background.append(
            writing_snapshots(
                lambda: {**version, **figures(), **requests.figures()}, metrics_dir
            )
        )
    return observers, background


def process_figures(
    database: Database, tokens: TokenCache, published: JWKSClient | None, auth: BearerAuth
) -> Figures:
    """Return what this process has counted, as the exporter expects it."""
    keys = {"fetches": published.fetches, "failures": published.failures} if published else {}
    return {
        "process": {"running": 1},
        "connections": asdict(connection_stats),
        "pool": asdict(database.pool_stats),
        "pool_totals": asdict(database.pool_totals),
        "token_cache": {"hits": tokens.hits, "misses": tokens.misses},
        "keys": keys,
        "rate_limits": auth.refused,
    }
