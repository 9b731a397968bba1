"""The operations of the contract as one ASGI application, built by Connexion.

Connexion checks the contract, resolves its references, finds the handler and the security
function of each operation, and passes its own operation objects on to `OperationsAPI`. What
its stock middleware would decide again for each request (the handler's signature, the
security function, copies of parameter definitions, two routers: 108 µs) is decided once, at
start.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from connexion.middleware.abstract import AbstractRoutingAPI, SpecMiddleware
from connexion.operations import AbstractOperation
from connexion.resolver import Resolver
from connexion.security import SecurityHandlerFactory
from connexion.spec import Specification
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from handlers.api.compression import MIN_COMPRESSED, compress
from handlers.api.problems import MethodNotAllowed, PathNotFound, error_response
from handlers.api.request_body import has_body, read_body
from models.errors import OutcomeUnknown, Unavailable
from openapi.contract import path_pattern
from openapi.requests import RequestValidator

Handler = Callable[..., Awaitable[Response]]
Authenticate = Callable[[Scope], Awaitable[Mapping[str, Any]]]
"""Returns the claims of a request's credentials; raises if they are not accepted."""

PATH_PARAMETER = re.compile(r"\{([^}]+)\}")


class Operation:
    """One operation: authenticates and validates a request, then calls the handler."""

    def __init__(
        self,
        operation_id: str,
        handler: Handler,
        authenticate: Authenticate | None,
        validator: RequestValidator,
        max_body: int,
    ) -> None:
        """Serve authenticated requests only, unless `authenticate` is None.

        A request body may have up to `max_body` bytes.
        """
        self.operation_id = operation_id
        self._handler = handler
        self._authenticate = authenticate
        self._validator = validator
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive) -> Response:
        """Return the response to one request; raises what its steps raise."""
        if self._authenticate is None:
            return await self._handler(**await self._arguments(scope, receive))
        claims = await self._authenticate(scope)
        arguments = await self._arguments(scope, receive)
        return await self._handler(user=claims["sub"], **arguments)

    async def _arguments(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Read and validate a request; return the handler's arguments."""
        validator = self._validator
        expects_body = validator.takes_body and has_body(scope, self._max_body)
        return validator.validate(
            path=scope["path_params"],
            query=scope["query_string"],
            headers=scope["headers"],
            body=await read_body(receive, self._max_body) if expects_body else b"",
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the contract."""

    operations: Mapping[str, Operation]
    """By method, in upper case."""
    parameters: Sequence[tuple[str, int]]
    """The name of each path parameter, and its group in the regular expression."""


class OperationsAPI(AbstractRoutingAPI):  # type: ignore[misc]  # Connexion is untyped
    """Routes requests: a dictionary of concrete paths, one regular expression of all others."""

    def __init__(
        self, specification: Specification, *, resolver: Resolver, security_map: dict[str, Any]
    ) -> None:
        """Compile every operation of the specification.

        Raises LookupError if one has no handler, ValueError if its security is unknown.
        """
        self._security = SecurityHandlerFactory(security_map)
        self._max_body: int = specification["x-max-body-bytes"]
        self._by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
        super().__init__(specification, resolver=resolver)
        self._concrete = {
            path: Route(operations, ())
            for path, operations in self._by_path.items()
            if not PATH_PARAMETER.search(path)
        }
        self._pattern, self._templated = self._compile_templates()

    def match(self, scope: Scope) -> Operation:
        """Return the operation for a request, and set `path_params` in its scope.

        The state of the scope gets its `operation_id`, for observers. Concrete paths are
        matched before templated ones (OpenAPI, Paths Object). Raises PathNotFound or
        MethodNotAllowed.
        """
        parameters: dict[str, str] = {}
        route = self._concrete.get(scope["path"])
        if route is None:
            match = self._pattern.fullmatch(scope["path"])
            if match is None:
                raise PathNotFound
            route = self._templated[match.lastindex]
            for name, group in route.parameters:
                parameters[name] = match[group]
        operation = route.operations.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(list(route.operations))
        scope["path_params"] = parameters
        scope["state"]["operation_id"] = operation.operation_id
        return operation

    def make_operation(self, operation: AbstractOperation) -> Operation:
        """Compile one of Connexion's operations."""
        return Operation(
            operation.operation_id,
            operation.function,
            self._authenticate(operation),
            RequestValidator(operation.parameters, operation.request_body),
            self._max_body,
        )

    def _authenticate(self, operation: AbstractOperation) -> Authenticate | None:
        """Return the security function; None for `security: []` only.

        An operation that says nothing about security while the contract has no default
        would be public: so would one whose only scheme Connexion does not know.
        """
        match operation.security:
            case []:
                return None
            case [requirement] if len(requirement) == 1:
                ((name, scopes),) = requirement.items()
                scheme = operation.security_schemes[name]
                function: Authenticate | None = self._security.parse_security_scheme(
                    scheme, scopes
                )
                if function is not None:
                    return function
        message = f"{operation.operation_id}: security must be [] or one scheme that is known"
        raise ValueError(message)

    def _compile_templates(self) -> tuple[re.Pattern[str], Mapping[int | None, Route]]:
        templates = sorted(
            self._by_path.keys() - self._concrete.keys(), key=lambda path: path.count("{")
        )
        routes: dict[int | None, Route] = {}
        groups = count(1)
        for path in templates:
            parameters = [(name, next(groups)) for name in PATH_PARAMETER.findall(path)]
            routes[next(groups)] = Route(self._by_path[path], parameters)
        # The empty group after each template is the last to match, and identifies it.
        return re.compile("|".join(f"{path_pattern(path)}()" for path in templates)), routes

    @staticmethod
    def _framework_path_and_name(_operation: AbstractOperation, path: str) -> tuple[str, str]:
        return path, path

    def _add_operation_internal(
        self, method: str, path: str, operation: Operation, **_: Any
    ) -> None:
        self._by_path[path][method.upper()] = operation


class Operations(SpecMiddleware):  # type: ignore[misc]  # Connexion is untyped
    """The innermost application: every operation of the contract, and all errors."""

    _api: OperationsAPI

    def add_api(self, specification: Specification, **options: Any) -> None:
        """Compile the contract; Connexion calls this once, at start."""
        self._api = OperationsAPI(
            specification,
            resolver=options["resolver"],
            security_map=options["security_map"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one HTTP request."""
        try:
            response = await self._api.match(scope)(scope, receive)
            if len(response.body) >= MIN_COMPRESSED:
                response = await compress(scope, response)
        except asyncio.CancelledError:  # SHUTDOWN_TIMEOUT has passed
            reads = scope["method"] == "GET"
            response = error_response(scope, Unavailable() if reads else OutcomeUnknown())
        except Exception as error:  # noqa: BLE001 (each has its problem document)
            response = error_response(scope, error)
        await response(scope, receive, send)
