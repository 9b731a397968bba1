"""Validation of requests as a Connexion middleware; the rules are the contract's."""

from typing import Any

from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.operations import AbstractOperation
from starlette.types import ASGIApp, Receive, Scope, Send

from openapi.contract import Contract
from openapi.faults import BadRequest, body_fault
from openapi.requests import RequestReader


class ContentTooLarge(Exception):
    """The body is larger than the contract allows."""


class ValidatedOperation:
    """Reads and validates requests of one operation, then passes them on.

    The handler's arguments travel in Connexion's context, from where Connexion
    hands them to the handler by name; nothing is parsed twice.
    """

    def __init__(self, next_app: ASGIApp, reader: RequestReader, max_body: int) -> None:
        """Pass requests that the reader accepts to the next application."""
        self._next = next_app
        self._reader = reader
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; raises what the reader raises, and ContentTooLarge."""
        body = await read_body(receive, self._max_body) if self._reader.takes_body else b""
        arguments = self._reader.arguments(
            path=scope["path_params"],
            query=scope["query_string"],
            headers=scope["headers"],
            body=body,
        )
        scope["extensions"].setdefault("connexion_context", {}).update(arguments)
        await self._next(scope, receive, send)


class ValidationAPI(RoutedAPI[ValidatedOperation]):  # type: ignore[misc]  # untyped
    """One compiled reader for each operation of the contract."""

    contract: Contract

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Compile the operations."""
        super().__init__(*args, **kwargs)
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> ValidatedOperation:
        """Compile one operation."""
        described = self.contract.operations[operation.operation_id]
        max_body = self.contract.document["x-max-body-bytes"]
        return ValidatedOperation(self.next_app, RequestReader(described), max_body)


def validation_middleware(contract: Contract) -> type[RoutedMiddleware[ValidationAPI]]:
    """Make the middleware class that validates by this contract."""
    api = type("ContractAPI", (ValidationAPI,), {"contract": contract})
    return type("ContractMiddleware", (RoutedMiddleware,), {"api_cls": api})


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a request body of at most `limit` bytes; raises ContentTooLarge, BadRequest."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # What came so far may look whole; nobody is left to hear the answer.
            raise BadRequest([body_fault("ended before it was complete")])
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise ContentTooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
