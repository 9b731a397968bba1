"""Liveness and readiness."""

from starlette.responses import Response

from handlers.api.responses import JSONBytesResponse
from models.errors import Unavailable
from models.postgres.database import Database

OK = b'{"status":"ok"}'


async def get_health(_database: Database) -> Response:
    """Respond as long as the process does; does not use the database."""
    return JSONBytesResponse(OK)


async def get_readiness(database: Database) -> Response:
    """Respond if the database does; raises Unavailable otherwise."""
    if not await database.ready():
        raise Unavailable(retry_after=1)
    return JSONBytesResponse(OK)
