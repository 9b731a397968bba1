"""Parsing requests, whatever protocol they offer to upgrade to.

A server may ignore an offer to upgrade (RFC 9110, 7.8), and then handles the request like any
other. httptools takes every offer for accepted: it passes no body on, and what follows the head
is another protocol's. So the head is parsed again without the offer.
"""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ParsingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ignores offers to upgrade, and does not log what it rejects."""

    @property
    def offers_upgrade(self) -> bool:
        """Whether the head just parsed offers to upgrade, so that it is parsed again."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def parse(self, data: bytes) -> None:
        """Parse a piece of what has been received."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self.offers_upgrade:  # but CONNECT: what follows is meant for a tunnel
                    self.cycle.keep_alive = False
                    return
                (position,) = offer.args
                data = self._head_without_offer() + data[position:]
                self.parser = self._new_parser()
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            else:
                return

    def _head_without_offer(self) -> bytes:
        """Return the head just parsed, without what makes it an offer."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _new_parser(self) -> Any:
        """Return a parser that is set up as uvicorn does it."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser
