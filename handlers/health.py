"""Whether the service is alive, and whether it can serve."""

from starlette.responses import Response

from handlers.answers import JSON
from models.database import Database
from models.errors import Unavailable

OK = b'{"status":"ok"}'


async def get_health(_database: Database) -> Response:
    """Answer as long as the process does; ask nobody."""
    return JSON(OK)


async def get_readiness(database: Database) -> Response:
    """Answer if the database does; raises Unavailable otherwise."""
    if not await database.ready():
        raise Unavailable(retry_after=1)
    return JSON(OK)
