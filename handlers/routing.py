"""The operations of the contract as one ASGI application, built by Connexion.

Connexion routes, authenticates and calls the handlers from the contract alone;
only its validation is replaced, by ours that is compiled at start.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from connexion import AsyncApp, ConnexionMiddleware
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.exceptions import ExceptionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.middleware.server_error import ServerErrorMiddleware

import handlers
from handlers import problems
from handlers.compiled import compiled_middleware
from handlers.security import BearerAuth
from handlers.validation import validation_middleware
from models.database import Database
from openapi import contract as contracts
from openapi.contract import Contract

Lifespan = Callable[[ConnexionMiddleware], AbstractAsyncContextManager[None]]


def operations(
    contract: Contract,
    database: Database,
    auth: BearerAuth,
    lifespan: Lifespan,
    *,
    compiled: bool,
) -> AsyncApp:
    """Bind every operation of the contract to its handler, and problems to errors.

    With `compiled`, requests take the short way where there is one; the answers
    are the same. Raises LookupError at start-up if an operation has no handler.
    """
    app = AsyncApp(
        "app",
        lifespan=lifespan,
        middlewares=[
            ServerErrorMiddleware,
            ExceptionMiddleware,
            *([compiled_middleware(contract, auth)] if compiled else []),
            RoutingMiddleware,
            SecurityMiddleware,
            validation_middleware(contract),
            LifespanMiddleware,
            ContextMiddleware,
        ],
        resolver=_register(database),
        security_map={"bearer": lambda: auth},
    )
    app.add_api(contracts.PATH)
    problems.install(app, contract)
    return app


def _register(database: Database) -> Callable[[str], Callable[..., Any]]:
    def resolve(operation_id: str) -> Callable[..., Any]:
        if operation_id not in handlers.__all__:
            msg = f"no handler is registered for the operation {operation_id!r}"
            raise LookupError(msg)
        return partial(getattr(handlers, operation_id), database)

    return resolve
