"""Pipelined requests are parsed no further than there is room for them."""

from typing import Any

from handlers.server.parsing import ParsingProtocol

MAX_PIPELINED = 100  # requests that wait for the responses to earlier ones
PIECE = 4_096  # bytes that are parsed at a time: few enough requests to add to these


class PipeliningProtocol(ParsingProtocol):
    """uvicorn's protocol, with a limit for the requests that wait on a connection.

    While there are as many, what follows stays unparsed, and nothing more is read.
    """

    def __init__(self, **options: Any) -> None:
        """Serve one connection."""
        super().__init__(**options)
        self._unparsed = bytearray()

    @property
    def reading_paused(self) -> bool:
        """Whether nothing is read at the moment, whatever the client sends."""
        return bool(self._unparsed) or self.flow.read_paused

    def data_received(self, data: bytes) -> None:
        """Parse what has been received, as far as the queue of requests allows."""
        if len(data) <= PIECE and not self._unparsed:
            self.parse(data)
        else:
            self._unparsed += data
            self._parse_pieces()

    def resume_parsing(self) -> None:
        """Parse what is left, if anything: a response has made room in the queue."""
        if self._unparsed:
            self.flow.read_paused = True
            self._parse_pieces()

    def discard_unparsed(self) -> None:
        """Forget what is left, and read again."""
        self._unparsed.clear()
        self.flow.read_paused = False
        self.transport.resume_reading()

    def _parse_pieces(self) -> None:
        """Parse until the queue of requests is full; read no more until all is parsed."""
        while self._unparsed and len(self.pipeline) < MAX_PIPELINED:
            piece = bytes(self._unparsed[:PIECE])
            del self._unparsed[:PIECE]
            self.parse(piece)
            if self.transport.is_closing():
                self._unparsed.clear()
                return
        if self._unparsed:
            self.transport.pause_reading()
            self.flow.read_paused = False  # or else the application's `receive` would resume
