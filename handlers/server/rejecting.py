"""Rejecting requests before the application sees them, and closing their connection."""

from math import inf
from typing import Any

from handlers.middleware.cors import HeadersByOrigin
from handlers.server.phase import BODY, HEAD, IDLE, LINGERING
from handlers.server.pipelining import PipeliningProtocol
from handlers.server.rejection import Rejection

LINGER_TIMEOUT = 5.0  # seconds


class RejectingProtocol(PipeliningProtocol):
    """uvicorn's protocol, which responds to what it rejects with a problem document."""

    def __init__(self, *, cors: HeadersByOrigin, **options: Any) -> None:
        """Serve one connection; rejections have these headers of CORS."""
        super().__init__(**options)
        self.phase = IDLE
        self.deadline = inf
        """When the connection expires, by the clock of the event loop."""
        self.received = 0
        """Bytes of the current request, or fewer if it was pipelined."""
        self._cors = cors

    def reject(self, rejection: Rejection) -> None:
        """Respond to a request that the application never sees, and close.

        Only close if another response has begun, or must come first: after those to earlier
        requests, unless one of these has not been received completely.
        """
        if not self._may_respond():
            if self.phase is HEAD:
                self.cycle.keep_alive = False
                self.deadline = inf
            else:
                self.transport.close()
            return
        if self.phase is BODY:  # the application waits for the rest
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Those of an earlier request say nothing about this one.
        received = self.scope["headers"] if self.phase in {HEAD, BODY} else ()
        self.transport.write(rejection.response(self.root_path, self._cors, received))
        self._linger()

    def finish(self) -> None:
        """Close the connection after its last response, once the request has been received."""
        if self.cycle.more_body:
            self._linger()
        else:
            self.transport.close()

    def _may_respond(self) -> bool:
        if self.phase is BODY:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle is None or self.cycle.response_complete

    def _linger(self) -> None:
        """Close the connection when the client has done so, or has had time to.

        Otherwise the client's kernel would discard the response if there is more of the
        request on its way (RFC 9112, 9.6).
        """
        self.phase = LINGERING
        self.received = 0
        self.deadline = self.loop.time() + LINGER_TIMEOUT
        self.discard_unparsed()
