"""The composition root: everything comes together here, and only here."""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess

from starlette.types import ASGIApp

import settings as configuration
from handlers.compiled import Compiled
from handlers.cors import Cors
from handlers.development import Tokens, sign
from handlers.edge import Edge
from handlers.keys import BothKinds, Keys, SharedSecret
from handlers.pages import Pages
from handlers.problems import Problems
from handlers.published_keys import PublishedKeys
from handlers.remembered_tokens import RememberedTokens
from handlers.routing import operations, register
from handlers.security import BearerAuth, TokenVerifier, Verifier
from models.database import Database
from models.safety import check_serving_role
from openapi import contract as contracts
from settings import Settings

# Set by `serve` for the processes that it starts, whatever was there before.
DEVELOPMENT = "TODO_API_IS_IN_DEVELOPMENT"

_GARBAGE = 10_000  # objects, as many as a hundred requests under way have


def create_app(settings: Settings, *, development: bool = False) -> ASGIApp:
    """Build the service; what it needs opens and closes with the ASGI lifespan.

    In development, the page /docs offers tokens to whoever sits at this machine.
    Raises LookupError if an operation of the contract has no handler.
    """
    contract = contracts.load()
    database = _database(settings)
    published = PublishedKeys(settings.jwks_url) if settings.jwks_url else None
    auth = BearerAuth(_verifier(settings, _keys(settings.secret, published)))
    resolver = register(database)
    problems = Problems(contract)
    app: ASGIApp = operations(
        contract, resolver, auth, problems, lambda _app: _running(database, published)
    )
    app = Pages(app, contract=contract, development=origin(settings) if development else None)
    if development:
        app = Tokens(app, partial(sign_token, settings))
    if settings.compiled:
        app = Compiled(app, contract=contract, auth=auth, resolver=resolver, problems=problems)
    return Edge(Cors(app, settings.cors_origins), user_scope=contract.user_scope)


def from_environment() -> ASGIApp:
    """Build the service from the environment alone; uvicorn's workers call this."""
    settings = configuration.load(os.environ)
    configure_logging(settings)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    return create_app(settings, development=os.environ.get(DEVELOPMENT) == "true")


def sign_token(settings: Settings, user: str, ttl: timedelta) -> str:
    """Sign a token that the service with these settings accepts."""
    assert settings.secret is not None
    return sign(
        settings.secret,
        user,
        ttl,
        user_claim=settings.jwt_user_claim,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def origin(settings: Settings) -> str:
    """Return the origin that this machine reaches the service at."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


async def rehearse(settings: Settings) -> None:
    """Open the database as the service will, and close it again.

    Raises NotConnected or UnsafeRole, each with a sentence for whoever starts it.
    """
    async with _open(_database(replace(settings, pool_size=1)), patience=0):
        pass


def configure_logging(settings: Settings) -> None:
    """Log to standard error; requests are logged only if asked for."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every fetch of keys
    logging.getLogger("todo.access").disabled = not settings.access_log


def _end_with(parent: BaseProcess) -> None:
    """End in good order when the parent is gone, which uvicorn's workers would outlive."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _verifier(settings: Settings, keys: Keys) -> Verifier:
    verifier = TokenVerifier(
        keys,
        user_claim=settings.jwt_user_claim,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
    return RememberedTokens(verifier, keys)


def _keys(secret: bytes | None, published: PublishedKeys | None) -> Keys:
    if secret is None:
        assert published is not None, "there are keys of some kind before the app is built"
        return published
    shared = SharedSecret(secret)
    return BothKinds(shared, published) if published else shared


def _database(settings: Settings) -> Database:
    assert settings.database_url is not None, "the database is provided before it is used"
    return Database(
        settings.database_url,
        pool_size=settings.pool_size,
        queue_size=settings.queue_size,
        queue_timeout=settings.queue_timeout,
        statement_timeout=settings.statement_timeout,
    )


@contextlib.asynccontextmanager
async def _running(database: Database, published: PublishedKeys | None) -> AsyncIterator[None]:
    """Hold open what requests need; a start does not wait for Better Auth."""
    async with published.kept() if published else contextlib.nullcontext(), _open(database):
        # What is here now stays: looking for garbage in it took a tenth of every request.
        # Looking after each 700 new objects took another, and requests leave next to none.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        yield


@contextlib.asynccontextmanager
async def _open(database: Database, patience: float = 10) -> AsyncIterator[None]:
    await database.open(patience)
    try:
        await check_serving_role(database)
        yield
    finally:
        await database.close()
