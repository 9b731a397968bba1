"""The application: everything is put together here, and only here."""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import handlers  # first: it imports Connexion without a warning

# isort: split
from connexion import ConnexionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.resolver import Resolver
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import settings as configuration
from handlers.api.operations import Operations
from handlers.api.problems import preflight_error
from handlers.auth import BearerAuth
from handlers.auth.cache import TokenCache
from handlers.auth.counters import Counters, MemoryCounters
from handlers.auth.jwks import JWKSClient
from handlers.auth.keys import KeyRing, Keys, SharedSecret
from handlers.auth.limited import LimitedBearerAuth
from handlers.auth.rate_limiter import RateLimiter
from handlers.auth.verifier import TokenVerifier
from handlers.middleware.cors import CORSMiddleware
from handlers.middleware.request_context import RequestContextMiddleware
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

_GC_THRESHOLD = 10_000  # objects, as many as a hundred requests in flight have


def create_app(settings: Settings, *, development: bool = False) -> ConnexionMiddleware:
    """Build the service; its lifespan opens and closes connections.

    In development, the page /docs offers tokens to a browser on this machine. Raises
    LookupError at startup if an operation of the contract has no handler.
    """
    contract = contracts.load()
    database = create_database(settings)
    published = JWKSClient(settings.jwks_url) if settings.jwks_url else None
    counters = create_counters(settings)
    auth = create_auth(settings, published, counters)
    # Nothing but this limit depends on the address of the client.
    proxies = list(settings.forwarded_allow_ips) if settings.invalid_token_limit else []
    app = ConnexionMiddleware(
        Operations(),
        middlewares=[
            *([partial(ProxyHeadersMiddleware, trusted_hosts=proxies)] * bool(proxies)),
            partial(RequestContextMiddleware, user_scope=contract.user_scope),
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
        lifespan=lambda _app: _lifespan(database, published, counters),
        resolver=Resolver(partial(_handler, database)),
        security_map={"bearer": lambda: auth},
    )
    app.add_api(contract.document)
    return app


def from_environment() -> ConnexionMiddleware:
    """Build the service from environment variables; each worker process calls this."""
    settings = configuration.load(os.environ)
    configure_logging(settings)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_terminate_after, args=[parent], daemon=True).start()
    return create_app(settings, development=os.environ.get(DEVELOPMENT) == "true")


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
        constants={"deletion_retention": f"{settings.deletion_retention} days"},
    )


def create_auth(
    settings: Settings, published: JWKSClient | None, counters: Counters
) -> BearerAuth:
    """Return the security handler for the shared secret, published keys, or both."""
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
    cache = TokenCache(verifier, keys)
    if not settings.rate_limit and not settings.invalid_token_limit:
        return BearerAuth(cache)
    return LimitedBearerAuth(
        cache,
        requests=RateLimiter("requests", settings.rate_limit, counters),
        invalid_tokens=RateLimiter("invalid-tokens", settings.invalid_token_limit, counters),
    )


def create_counters(settings: Settings) -> Counters:
    """Return the counters of rate limits: of this process, or those in Redis."""
    if settings.rate_limit_storage is None:
        return MemoryCounters()
    from handlers.auth.redis_counters import RedisCounters  # noqa: PLC0415 (an extra)

    return RedisCounters(settings.rate_limit_storage.get_secret_value())


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


def configure_logging(settings: Settings) -> None:
    """Log to standard error; requests are logged only if the settings say so."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every fetch of keys
    logging.getLogger("todo.access").disabled = not settings.access_log


def _handler(database: Database, operation_id: str) -> Callable[..., Any]:
    """Return the handler of an operation. Raises LookupError."""
    if operation_id not in handlers.__all__:
        msg = f"no handler is registered for the operation {operation_id!r}"
        raise LookupError(msg)
    return partial(getattr(handlers, operation_id), database)


@contextlib.asynccontextmanager
async def _lifespan(
    database: Database, published: JWKSClient | None, counters: Counters
) -> AsyncIterator[None]:
    """Open what requests need; starting does not wait for Better Auth."""
    keys = published.running() if published else contextlib.nullcontext()
    async with keys, contextlib.aclosing(counters), _opened(database):
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
