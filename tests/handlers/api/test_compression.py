"""Compressing a response: for which clients, and what becomes of its headers."""

import asyncio
import gzip

import pytest
from starlette.responses import Response

from handlers.api.compression import compress
from handlers.api.responses import JSONBytesResponse, header

BODY = b"[" + 1000 * b"{}," + b"{}]"


def sent(accept: str | None, etag: str | None = None) -> Response:
    """Return what a client that accepts these codings is sent."""
    headers = [] if accept is None else [header(b"accept-encoding", accept)]
    tags = [] if etag is None else [header(b"etag", etag)]
    scope = {"type": "http", "headers": headers}
    return asyncio.run(compress(scope, JSONBytesResponse(BODY, *tags)))


@pytest.mark.parametrize("accept", ["gzip", "GZIP", "br, gzip", "gzip;q=0.001", "*"])
def test_a_client_that_accepts_gzip_gets_it(accept: str) -> None:
    response = sent(accept)
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-length"] == str(len(response.body))
    assert "etag" not in response.headers
    assert len(response.body) < len(BODY) / 10
    assert gzip.decompress(response.body) == BODY


@pytest.mark.parametrize(
    "accept", [None, "", "br", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *"]
)
def test_another_client_gets_the_response_as_it_is(accept: str | None) -> None:
    response = sent(accept, '"1"')
    assert response.body == BODY
    assert dict(response.headers) == {
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "etag": '"1"',
    }


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"'])
def test_the_entity_tag_of_a_compressed_response_is_weak(etag: str) -> None:
    assert sent("gzip", etag).headers["etag"] == 'W/"1"'
