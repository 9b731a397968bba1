"""The service in the test process, for faults that cannot be caused over HTTP."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import pytest
from pydantic import SecretBytes, SecretStr
from starlette.types import ASGIApp

import handlers
from app import create_app
from harness.clients import token
from harness.contract import check_response
from harness.operation_index import Operation
from harness.operations import body, path, query
from harness.service import SECRET
from settings import Settings

UNREACHABLE_DSN = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


def app_without_database(**settings: Any) -> ASGIApp:
    """Return an application that is never started, so its database is unavailable.

    It has no pages, and Connexion does not validate the contract: that takes most of the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.render_pages", lambda *_, **__: {})
        patch.setattr("connexion.spec.OpenAPISpecification._validate_spec", lambda *_: None)
        return _create_app(**settings)


@cache
def _app_with_pages() -> ASGIApp:
    return _create_app()


def _create_app(**settings: Any) -> ASGIApp:
    secret, url = SecretBytes(SECRET.encode()), SecretStr(UNREACHABLE_DSN)
    app: ASGIApp = create_app(Settings(secret=secret, database_url=url, **settings))
    return app


async def _check(response: httpx.Response) -> None:
    await response.aread()
    check_response(response)


class InProcessClient(httpx.AsyncClient):
    """A client of an application like that, with pages; validates each response."""

    def __init__(self, user_id: str = "alice") -> None:
        """Send requests as this user."""
        super().__init__(
            transport=httpx.ASGITransport(_app_with_pages(), raise_app_exceptions=False),
            base_url="http://test",
            headers={"Authorization": f"Bearer {token(user_id)}"},
            event_hooks={"response": [_check]},
        )


async def request_in_process(
    app: ASGIApp, operation: Operation, user: str | None = "alice", *, signed: str = ""
) -> httpx.Response:
    """Request an operation as a user, with the token `signed` if given.

    Sends no token if `user` is None. The first request starts the application; raises what
    prevents that.
    """
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {signed or token(user)}"} if user else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(
            operation.method,
            path(operation),
            headers=headers,
            **query(operation),
            **body(operation),
        )


def exceed_the_limit(operation: Operation, user: str, *, signed: str = "") -> httpx.Response:
    """Request an operation twice, where one request a day is allowed, and one invalid token.

    Returns the second response.
    """
    once_a_day = ((1, 86_400),)
    app = app_without_database(rate_limit=once_a_day, invalid_token_limit=once_a_day)

    async def request_twice() -> httpx.Response:
        await request_in_process(app, operation, user, signed=signed)
        return await request_in_process(app, operation, user, signed=signed)

    return asyncio.run(request_twice())


@contextmanager
def broken_handler(operation_id: str) -> Iterator[str]:
    """Make an operation's handler raise; yields the message, which no response may contain."""
    secret = "a secret of the machine room"

    async def handler(*_: Any, **__: Any) -> None:
        raise RuntimeError(secret)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, operation_id, handler)
        yield secret
