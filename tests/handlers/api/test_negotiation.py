"""Content negotiation: what a client accepts."""

import pytest

from handlers.api.negotiation import MAX_LENGTH, accepts_gzip, preferred_media_type

OFFERED = ["text/html", "application/json"]


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        ("image/png", "text/html"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/*", "application/json"),
        ("text/html, application/json;q=0.9", "text/html"),
    ],
)
def test_the_media_type_that_the_client_prefers_is_selected(
    accept: str | None, preferred: str
) -> None:
    assert preferred_media_type(accept, OFFERED) == preferred


@pytest.mark.parametrize("filler", [" ", ",", ";", "/", "x,"])
def test_a_long_accept_header_is_ignored(filler: str) -> None:
    accept = "application/json, a/b"
    assert preferred_media_type(accept.ljust(MAX_LENGTH), OFFERED) == "application/json"
    assert preferred_media_type(accept + filler * 30_000 + "c", OFFERED) == "text/html"


def test_a_long_accept_encoding_header_is_ignored() -> None:
    assert accepts_gzip("gzip".ljust(MAX_LENGTH))
    assert not accepts_gzip("gzip" + ", br" * 16_000)
