"""The synchronization operation of the contract."""

from starlette.responses import Response

from handlers.api.pagination import decode_sync_token, encode_sync_token
from handlers.api.responses import PRIVATE, JSONBytesResponse
from models import changes
from models.postgres.database import Database


async def list_changes(
    database: Database, user: str, *, since: str | None, limit: int
) -> Response:
    """List what has changed since a token: 200."""
    state = decode_sync_token(since) if since else None
    found = await changes.list_changes(database, user, state, limit)
    body = b'{"changed":%b,"deleted":%b,"next":"%b","more":%b}' % (
        found.changed,
        found.deleted,
        encode_sync_token(found.state).encode(),
        b"true" if found.more else b"false",
    )
    return JSONBytesResponse(body, *PRIVATE)
