"""Validation of requests as a Connexion middleware; the rules are the contract's."""

from typing import Any

from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.operations import AbstractOperation
from starlette.types import ASGIApp, Receive, Scope, Send

from openapi.contract import Contract
from openapi.faults import BadRequest, body_fault
from openapi.requests import RequestReader

# Bytes of a body too large that are read and dropped before the answer.
PATIENCE = 16 * 1024 * 1024


class ContentTooLarge(Exception):
    """The body is larger than the contract allows."""


class Arguments:
    """Makes the handler's arguments of the requests of one operation."""

    def __init__(self, contract: Contract, operation_id: str) -> None:
        """Compile what the contract says of the operation's requests."""
        self._reader = RequestReader(contract.operations[operation_id])
        self._max_body: int = contract.document["x-max-body-bytes"]

    async def of(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Read and validate a request; raises what the reader raises, and ContentTooLarge."""
        has_body = self._reader.takes_body and announces_body(scope)
        body = await read_body(receive, self._max_body) if has_body else b""
        return self._reader.arguments(
            path=scope["path_params"],
            query=scope["query_string"],
            headers=scope["headers"],
            body=body,
        )


class ValidatedOperation:
    """Validates requests of one operation, then passes them on.

    The handler's arguments travel in Connexion's context, from where Connexion
    hands them to the handler by name; nothing is parsed twice.
    """

    def __init__(self, next_app: ASGIApp, arguments: Arguments) -> None:
        """Pass valid requests to the next application."""
        self._next = next_app
        self._arguments = arguments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; raises what its arguments raise."""
        arguments = await self._arguments.of(scope, receive)
        scope["extensions"].setdefault("connexion_context", {}).update(arguments)
        # Connexion would look for a form in whatever body there is, and stumble.
        headers = [header for header in scope["headers"] if header[0] != b"content-type"]
        await self._next({**scope, "headers": headers}, receive, send)


class ValidationAPI(RoutedAPI[ValidatedOperation]):  # type: ignore[misc]  # untyped
    """One compiled reader for each operation of the contract."""

    contract: Contract

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Compile the operations."""
        super().__init__(*args, **kwargs)
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> ValidatedOperation:
        """Compile one operation."""
        arguments = Arguments(self.contract, operation.operation_id)
        return ValidatedOperation(self.next_app, arguments)


def validation_middleware(contract: Contract) -> type[RoutedMiddleware[ValidationAPI]]:
    """Make the middleware class that validates by this contract."""
    api = type("ContractAPI", (ValidationAPI,), {"contract": contract})
    return type("ContractMiddleware", (RoutedMiddleware,), {"api_cls": api})


def announces_body(scope: Scope) -> bool:
    """Tell whether a request may have a body: in HTTP/1 its headers say so (RFC 9112, 6.3)."""
    if not scope["http_version"].startswith("1."):
        return True
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a request body of at most `limit` bytes; raises ContentTooLarge, BadRequest.

    A client that is still sending when the connection ends may never see the
    answer, so a body that is too large is read to its end, within reason.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # What came so far may look whole; nobody is left to hear the answer.
            raise BadRequest([body_fault("ended before it was complete")])
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        ended = not message.get("more_body", False)
        if size > (limit if ended else PATIENCE):
            raise ContentTooLarge
        if ended:
            return b"".join(chunks)
