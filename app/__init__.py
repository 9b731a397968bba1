"""The application: everything is put together here, and only here."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import handlers  # first: it imports Connexion without a warning

# isort: split
from connexion import ConnexionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.resolver import Resolver
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import settings as configuration
from app.components import (
    create_auth,
    create_counters,
    create_database,
    create_token_cache,
    origin,
    sign_token,
    trusted_proxies,
)
from app.lifespan import lifespan, opened
from app.observability import create_observers, process_figures
from handlers.api.operations import Operations
from handlers.api.problems import preflight_error
from handlers.auth.jwks import JWKSClient
from handlers.middleware.cors import CORSMiddleware
from handlers.middleware.request_context import RequestContextMiddleware
from handlers.middleware.root_path import RootPathMiddleware
from handlers.observability.logs import configure_logging
from handlers.site.dev_tokens import DevTokensMiddleware
from handlers.site.pages import PagesMiddleware, render_pages
from models.blocked_users import BlockedUsers
from models.postgres.database import Database
from openapi import contract as contracts
from settings import Settings

DEVELOPMENT = "TODO_API_DEVELOPMENT"
"""Set by `serve` for its worker processes, whatever its value was before."""

METRICS_DIR = "TODO_API_METRICS_DIR"
"""Set by `serve` for its worker processes: where they write figures for /metrics."""


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
    blocked = BlockedUsers(database)
    pages = render_pages(
        contract,
        root_path=settings.root_path,
        development=origin(settings) if development else None,
    )
    root_path = partial(
        RootPathMiddleware,
        root_path=settings.root_path,
        paths=[*contract.document["paths"], *pages],
    )
    counters = create_counters(settings)
    auth = create_auth(settings, tokens, blocked, counters)
    figures = partial(process_figures, database, tokens, published, auth)
    observers, background = create_observers(settings, contract, figures, metrics_dir)
    keys = [published.running()] if published is not None else []
    background = [
        *keys,
        *background,
        aclosing(counters),
        opened(settings, database),
        blocked.running(),
    ]
    # Nothing but this limit depends on the address of the client.
    proxies = trusted_proxies(settings) if settings.invalid_token_limit else []
    app = ConnexionMiddleware(
        Operations(),
        middlewares=[
            *([partial(ProxyHeadersMiddleware, trusted_hosts=proxies)] * bool(proxies)),
            *([root_path] * bool(settings.root_path)),
            partial(
                RequestContextMiddleware,
                user_scope=contract.user_scope,
                observers=observers,
            ),
            partial(
                CORSMiddleware, allow_origins=settings.cors_origins, reject=preflight_error
            ),
            *([partial(DevTokensMiddleware, sign=partial(sign_token, settings))] * development),
            partial(PagesMiddleware, pages=pages),
            LifespanMiddleware,
        ],
        lifespan=lambda _app: lifespan(background, database, settings.shutdown_delay),
        resolver=Resolver(partial(_handler, database)),
        security_map={"bearer": lambda: auth},
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


def _handler(database: Database, operation_id: str) -> Callable[..., Any]:
    """Return the handler of an operation. Raises LookupError."""
    if operation_id not in handlers.__all__:
        msg = f"no handler is registered for the operation {operation_id!r}"
        raise LookupError(msg)
    return partial(getattr(handlers, operation_id), database)


def _terminate_after(parent: BaseProcess) -> None:
    """Terminate when the parent process has ended: uvicorn's workers would keep running."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
