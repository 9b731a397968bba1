"""The short way: each operation compiled at start, for requests without surprises.

Connexion decides anew for each request what never changes: it inspects the
handler's signature and the security function's, copies parameter definitions
and walks two routers. Here that is done once, on Connexion's own classes, from
the same contract, with the same security function, the same validation and the
same handlers, and the same problem documents for what they raise. Whatever is not
found here (unknown paths, other methods, an operation secured in another way)
takes Connexion's own way, as before.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from connexion.middleware.abstract import AbstractRoutingAPI
from connexion.operations import AbstractOperation
from connexion.resolver import Resolver
from connexion.spec import Specification
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.problems import Problems
from handlers.security import BearerAuth
from handlers.validation import Arguments
from openapi import contract as contracts
from openapi.contract import Contract

Handler = Callable[..., Awaitable[Response]]

PARAMETER = re.compile(r"\{([^}]+)\}")


class CompiledOperation:
    """One operation: who asks, what they ask for, and the answer."""

    def __init__(self, handler: Handler, auth: BearerAuth | None, arguments: Arguments) -> None:
        """Call the handler for those whom `auth` knows; for everybody if it is None."""
        self._handler = handler
        self._auth = auth
        self._arguments = arguments

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer one request; raises what its parts raise."""
        if self._auth is None:
            return await self._handler(**await self._arguments.of(scope, receive))
        claims = await self._auth.authenticate(scope)
        arguments = await self._arguments.of(scope, receive)
        return await self._handler(user=claims["sub"], **arguments)


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the contract."""

    operations: Mapping[str, CompiledOperation]
    """By method, in upper case."""
    parameters: Sequence[tuple[str, int]]
    """Each with the group of the regular expression that matches it."""


class CompiledAPI(AbstractRoutingAPI):  # type: ignore[misc]  # Connexion is untyped
    """Finds an operation by its path, or one regular expression made of all templated paths."""

    def __init__(
        self,
        specification: Specification,
        *,
        contract: Contract,
        auth: BearerAuth,
        resolver: Resolver,
    ) -> None:
        """Compile every operation of the specification, for handlers of the resolver's."""
        self._contract = contract
        self._auth = auth
        self._by_path: dict[str, dict[str, CompiledOperation]] = defaultdict(dict)
        super().__init__(specification, resolver=resolver)
        self._concrete = {path: of for path, of in self._by_path.items() if "{" not in path}
        templated = [path for path in self._by_path if path not in self._concrete]
        templated.sort(key=lambda path: path.count("{"))
        # The empty group behind each is the last that matches, and so tells which it was.
        self._pattern = re.compile("|".join(f"{contracts.pattern(p)}()" for p in templated))
        self._routes: dict[int | None, Route] = {}
        groups = count(1)
        for path in templated:
            parameters = [(name, next(groups)) for name in PARAMETER.findall(path)]
            self._routes[next(groups)] = Route(self._by_path[path], parameters)

    def find(self, scope: Scope) -> tuple[CompiledOperation, Mapping[str, str]] | None:
        """Return the operation that a request asks for, and its path parameters.

        Concrete paths are matched before templated ones (OpenAPI, Paths Object).
        """
        parameters: dict[str, str] = {}
        operations: Mapping[str, CompiledOperation] | None = self._concrete.get(scope["path"])
        if operations is None:
            match = self._pattern.fullmatch(scope["path"])
            if match is None:
                return None
            route = self._routes[match.lastindex]
            operations = route.operations
            for name, group in route.parameters:
                parameters[name] = match[group]
        operation = operations.get(scope["method"])
        return None if operation is None else (operation, parameters)

    def make_operation(self, operation: AbstractOperation) -> CompiledOperation | None:
        """Compile an operation; None for one whose security is not this service's."""
        if operation.security not in ([], [{"bearerAuth": []}]):
            return None
        auth = self._auth if operation.security else None
        arguments = Arguments(self._contract, operation.operation_id)
        return CompiledOperation(operation.function, auth, arguments)

    @staticmethod
    def _framework_path_and_name(_operation: AbstractOperation, path: str) -> tuple[str, str]:
        return path, path

    def _add_operation_internal(
        self, method: str, path: str, operation: CompiledOperation | None, **_: Any
    ) -> None:
        if operation is not None:
            self._by_path[path][method.upper()] = operation


class Compiled:
    """Answers requests that take the short way, and passes on all others."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        contract: Contract,
        auth: BearerAuth,
        resolver: Resolver,
        problems: Problems,
    ) -> None:
        """Compile the contract for the resolver's handlers; the app has the other way."""
        self._app = app
        self._api = CompiledAPI(
            Specification.load(contracts.PATH), contract=contract, auth=auth, resolver=resolver
        )
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or any other event."""
        found = self._api.find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        operation, scope["path_params"] = found
        try:
            response = await operation.answer(scope, receive)
        except Exception as error:  # noqa: BLE001 (the table has an answer to all)
            response = self._problems.answer(scope, error)
        await response(scope, receive, send)
