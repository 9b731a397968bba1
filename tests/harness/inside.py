"""The application in this very process, never started: for faults that only we can make."""

from functools import cache

import httpx
from starlette.types import ASGIApp

import settings
from app import create_app
from harness.contract import check
from harness.people import token
from harness.service import SECRET


async def _check(response: httpx.Response) -> None:
    await response.aread()
    check(response)


@cache
def application(compiled: str) -> ASGIApp:
    """Build the service as COMPILED says; without its lifespan it has no database."""
    environment = {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "COMPILED": compiled,
    }
    return create_app(settings.load(environment))


class Inside(httpx.AsyncClient):
    """A client of that application; every answer must keep the contract."""

    def __init__(self, compiled: str, user_id: str = "alice") -> None:
        """Speak to the application as this user."""
        super().__init__(
            transport=httpx.ASGITransport(application(compiled), raise_app_exceptions=False),
            base_url="http://inside",
            headers={"Authorization": f"Bearer {token(user_id)}"},
            event_hooks={"response": [_check]},
        )
