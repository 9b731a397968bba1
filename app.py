"""The application: everything is put together here, and only here."""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import handlers  # first: it imports Connexion without a warning

# isort: split
from connexion import ConnexionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.resolver import Resolver

import settings as configuration
from handlers.api.operations import Operations
from handlers.api.problems import preflight_error
from handlers.auth import BearerAuth
from handlers.auth.cache import TokenCache
from handlers.auth.jwks import JWKSClient
from handlers.auth.keys import KeyRing, Keys, SharedSecret
from handlers.auth.verifier import TokenVerifier
from handlers.middleware.cors import CORSMiddleware
from handlers.middleware.request_context import Observer, RequestContextMiddleware
from handlers.observability import create_tracing
from handlers.observability.access_log import AccessLog
from handlers.observability.logs import configure_logging
from handlers.observability.metrics import Figures, RequestMetrics, writing_snapshots
from handlers.server.stats import connection_stats
from handlers.site import dev_tokens
from handlers.site.dev_tokens import DevTokensMiddleware
from handlers.site.pages import PagesMiddleware
from models import queries, tasks
from models.postgres.database import Database
from models.role_check import check_app_role
from openapi import contract as contracts
from settings import Settings

DEVELOPMENT = "TODO_API_DEVELOPMENT"
"""Set by `serve` for its worker processes, whatever its value was before."""

METRICS_DIR = "TODO_API_METRICS_DIR"
"""Set by `serve` for its worker processes: where they write figures for /metrics."""

_GC_THRESHOLD = 10_000  # objects, as many as a hundred requests in flight have


def create_app(
    settings: Settings, *, development: bool = False, metrics_dir: Path | None = None
) -> ConnexionMiddleware:
    """Build the service; its lifespan opens and closes connections.

    In development, the page /docs offers tokens to a browser on this machine. Figures for
    /metrics are written to `metrics_dir`, if given. Traces are sent if the variables of
    OpenTelemetry say so. Raises LookupError at startup if an operation of the contract has
    no handler.
    """
    contract = contracts.load()
    database = create_database(settings)
    published = JWKSClient(settings.jwks_url) if settings.jwks_url else None
    tokens = create_token_cache(settings, published)
    observers: list[Observer] = []
    background: list[AbstractAsyncContextManager[None]] = []
    if settings.access_log:
        observers.append(AccessLog(contract.user_scope))
    if published is not None:
        background.append(published.running())
    routes = {name: path for name, (path, _) in contract.operations.items()}
    if tracing := create_tracing(os.environ, contract.version, routes):
        observers.append(tracing)
        background.append(tracing.running())
    if metrics_dir is not None:
        requests = RequestMetrics({name: each[1] for name, each in contract.operations.items()})
        observers.append(requests)
        figures = partial(_figures, contract.version, requests, database, tokens, published)
        background.append(writing_snapshots(figures, metrics_dir))
    app = ConnexionMiddleware(
        Operations(),
        middlewares=[
            partial(
                RequestContextMiddleware,
                user_scope=contract.user_scope,
                observers=observers,
            ),
            partial(
                CORSMiddleware, allow_origins=settings.cors_origins, reject=preflight_error
            ),
            *([partial(DevTokensMiddleware, sign=partial(sign_token, settings))] * development),
            partial(
                PagesMiddleware,
                contract=contract,
                development=origin(settings) if development else None,
            ),
            LifespanMiddleware,
        ],
        lifespan=lambda _app: _lifespan(database, background),
        resolver=Resolver(partial(_handler, database)),
        security_map={"bearer": lambda: BearerAuth(tokens)},
    )
    app.add_api(contract.document)
    return app


def from_environment() -> ConnexionMiddleware:
    """Build the service from environment variables; each worker process calls this."""
    settings = configuration.load(os.environ)
    configure_logging(settings.log_level, settings.log_format)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_terminate_after, args=[parent], daemon=True).start()
    metrics_dir = os.environ.get(METRICS_DIR)
    return create_app(
        settings,
        development=os.environ.get(DEVELOPMENT) == "true",
        metrics_dir=Path(metrics_dir) if metrics_dir else None,
    )


def create_database(settings: Settings) -> Database:
    """Return the database of these settings; does no I/O until it is opened."""
    assert settings.database_url is not None, "the database is provided before it is used"
    return Database(
        settings.database_url.get_secret_value(),
        statements=queries.PREPARED,
        pool_size=settings.pool_size,
        queue_size=settings.queue_size,
        queue_timeout=settings.queue_timeout,
        statement_timeout=settings.statement_timeout,
        slow_statement=settings.slow_statement,
        constants={"deletion_retention": f"{settings.deletion_retention} days"},
    )


def create_token_cache(settings: Settings, published: JWKSClient | None) -> TokenCache:
    """Return what verifies tokens, by the shared secret, published keys, or both."""
    keys: Keys
    if settings.secret is None:
        assert published is not None, "there are keys before the service is built"
        keys = published
    else:
        keys = SharedSecret(settings.secret.get_secret_value())
        keys = KeyRing(keys, published) if published else keys
    verifier = TokenVerifier(
        keys,
        user_claims=settings.jwt_user_claim,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
    return TokenCache(verifier, keys)


def sign_token(settings: Settings, user: str, ttl: timedelta) -> str:
    """Return a token that the service with these settings accepts."""
    assert settings.secret is not None
    return dev_tokens.sign_token(
        settings.secret.get_secret_value(),
        user,
        ttl,
        user_claim=settings.jwt_user_claim[0],
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def origin(settings: Settings) -> str:
    """Return the origin of the service as seen from this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


async def check_database(settings: Settings) -> None:
    """Open the database as the service will, and close it again.

    Raises NotConnected or UnsafeRole, with a message for the operator.
    """
    database = create_database(settings.model_copy(update={"pool_size": 1}))
    async with _opened(database, connect_timeout=0):
        pass


async def export_tasks(settings: Settings, user: str) -> list[bytes]:
    """Return a user's tasks as JSON objects, oldest first. Raises TodoError."""
    async with _opened(create_database(settings), connect_timeout=0) as database:
        return await tasks.export_tasks(database, user)


async def erase_user(settings: Settings, user: str) -> bool:
    """Delete everything about a user; return whether there was anything. Raises TodoError."""
    async with _opened(create_database(settings), connect_timeout=0) as database:
        return await tasks.erase_user(database, user)


def _handler(database: Database, operation_id: str) -> Callable[..., Any]:
    """Return the handler of an operation. Raises LookupError."""
    if operation_id not in handlers.__all__:
        msg = f"no handler is registered for the operation {operation_id!r}"
        raise LookupError(msg)
    return partial(getattr(handlers, operation_id), database)


def _figures(
    version: str,
    requests: RequestMetrics,
    database: Database,
    tokens: TokenCache,
    published: JWKSClient | None,
) -> Figures:
    """Return what this process has counted, as the exporter expects it."""
    return {
        "process": {"running": 1},
        "versions": {version: 1},
        "connections": asdict(connection_stats),
        "pool": asdict(database.pool_stats),
        "pool_totals": asdict(database.pool_totals),
        "token_cache": {"hits": tokens.hits, "misses": tokens.misses},
        "keys": {"fetches": published.fetches, "failures": published.failures}
        if published
        else {},
        **requests.figures(),
    }


@contextlib.asynccontextmanager
async def _lifespan(
    database: Database, background: Iterable[AbstractAsyncContextManager[None]]
) -> AsyncIterator[None]:
    """Open what requests need; starting does not wait for Better Auth."""
    async with contextlib.AsyncExitStack() as stack:
        for each in (*background, _opened(database)):
            await stack.enter_async_context(each)
        # What exists now stays: collecting it again took a tenth of every request. The default
        # threshold of 700 new objects took another, and requests leave next to no garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        yield


@contextlib.asynccontextmanager
async def _opened(database: Database, connect_timeout: float = 10) -> AsyncIterator[Database]:
    await database.open(connect_timeout)
    try:
        await check_app_role(database)
        yield database
    finally:
        await database.close()


def _terminate_after(parent: BaseProcess) -> None:
    """Terminate when the parent process has ended: uvicorn's workers would keep running."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
