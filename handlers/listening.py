"""Where connections come in, and how many at a time."""

import logging
import sys
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

AT_ONCE = 8

_log = logging.getLogger(__name__)


def serve(config: uvicorn.Config) -> None:
    """Serve until a signal says to stop; exits with STARTUP_FAILURE if that can't begin.

    As `uvicorn.run` does, but with several handles on the one socket. Each time around its
    loop, uvloop (libuv) accepts one connection by each handle. With one handle, the last of
    a hundred that come at once waits for a hundred rounds full of the others' requests.
    """
    if config.workers == 1:
        config.load()  # builds the application, which also sets up the log
    listener = config.bind_socket()
    try:
        # At once: two processes may both bind a port, as long as neither of them listens.
        listener.listen(config.backlog)
    except OSError as error:
        _log.error("Cannot listen on %s:%d: %s", config.host, config.port, error.strerror)
        sys.exit(STARTUP_FAILURE)
    handles = [listener, *(listener.dup() for _ in range(AT_ONCE - 1))]
    with suppress(KeyboardInterrupt):
        if config.workers > 1:
            Multiprocess(config, sockets=handles).run()
            return
        server = uvicorn.Server(config)
        server.run(handles)
        if not server.started:
            sys.exit(STARTUP_FAILURE)
