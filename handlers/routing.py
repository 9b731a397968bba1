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
from connexion.resolver import Resolver

import handlers
from handlers.problems import Problems
from handlers.security import BearerAuth
from handlers.validation import validation_middleware
from models.database import Database
from openapi import contract as contracts
from openapi.contract import Contract

Lifespan = Callable[[ConnexionMiddleware], AbstractAsyncContextManager[None]]


def operations(
    contract: Contract,
    resolver: Resolver,
    auth: BearerAuth,
    problems: Problems,
    lifespan: Lifespan,
) -> AsyncApp:
    """Bind every operation of the contract to its handler, and problems to errors.

    Raises LookupError at start-up if an operation has no handler.
    """
    app = AsyncApp(
        "app",
        lifespan=lifespan,
        middlewares=[
            ServerErrorMiddleware,
            ExceptionMiddleware,
            RoutingMiddleware,
            SecurityMiddleware,
            validation_middleware(contract),
            LifespanMiddleware,
            ContextMiddleware,
        ],
        resolver=resolver,
        security_map={"bearer": lambda: auth},
    )
    app.add_api(contracts.PATH)
    problems.install(app)
    return app


def register(database: Database) -> Resolver:
    """Find the handler of each operation by its name, and give it the database."""

    def resolve(operation_id: str) -> Callable[..., Any]:
        if operation_id not in handlers.__all__:
            msg = f"no handler is registered for the operation {operation_id!r}"
            raise LookupError(msg)
        return partial(getattr(handlers, operation_id), database)

    return Resolver(resolve)
