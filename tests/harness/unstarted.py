"""The service inside the process of the tests: for faults that nobody can send from outside."""

from typing import Any

import httpx
from starlette.types import ASGIApp

from app import create_app
from harness.operations import body, path
from harness.people import token
from harness.service import SECRET
from openapi.contract import Operation
from settings import Settings

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


def app_without_database(**settings: Any) -> ASGIApp:
    """Build a service that is never started, so that its database is never there."""
    return create_app(Settings(secret=SECRET.encode(), database_url=NOWHERE, **settings))


async def ask_inside(
    app: ASGIApp, operation: Operation, user: str | None = "alice"
) -> httpx.Response:
    """Ask for an operation as a user, or without a token.

    The first request starts what a server starts; raises what keeps it from starting.
    """
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {token(user)}"} if user else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(
            operation.method, path(operation), headers=headers, **body(operation)
        )
