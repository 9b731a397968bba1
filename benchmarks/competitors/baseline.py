"""The baseline: uvicorn sending the same response to every request."""

from typing import Any

BODY = (
    b'{"id":"7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90","user_id":"k7Qm2xVbN4tRzW9yLsD3fGhJ6pCaXe1u"'
    b',"title":"Water the plants","description":"The fern in the hall, too","completed":false'
    b',"priority":"high","due_date":"2026-12-01T17:00:00.000000Z"'
    b',"created_at":"2026-11-20T08:30:00.123456Z","updated_at":"2026-11-20T08:30:00.123456Z"}'
)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Send the static response."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
