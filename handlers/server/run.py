"""uvicorn: its configuration, its socket, and how many connections it accepts at a time."""

import logging
import socket
import sys
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

ACCEPT_HANDLES = 8
SHUTDOWN_TIMEOUT = 10  # seconds for requests in flight
# Workers that are still importing do not reply yet. With uvicorn's default of 5 seconds, a
# busy machine would replace them again and again.
STARTUP_TIMEOUT = 60

_log = logging.getLogger("todo.server")


class CannotListen(Exception):
    """The address cannot be listened on; the text is one sentence that says why."""


def check_address(host: str, port: int) -> None:
    """Check that the address can be bound. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:  # UnicodeError: what cannot be a host name
        reason = getattr(error, "strerror", None) or "no such host"
        msg = f"Cannot listen on {host}:{port} ({reason}): set HOST or PORT."
        raise CannotListen(msg) from None


def run(factory: str, *, host: str, port: int, workers: int) -> None:
    """Serve the application that `factory` builds until a signal stops the process.

    `factory` is an import string, such as `app:from_environment`, which each worker
    process calls. Exits with STARTUP_FAILURE if serving cannot begin.
    """
    _serve(
        uvicorn.Config(
            factory,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http="handlers.server.protocol:Protocol",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # in app.py, where the client's address matters
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            timeout_worker_healthcheck=STARTUP_TIMEOUT,
        )
    )


def _serve(config: uvicorn.Config) -> None:
    """Serve as `uvicorn.run` does, but with several handles on the one socket.

    In each iteration of its loop, uvloop (libuv) accepts one connection per handle. With
    one handle, the last of a hundred simultaneous connections waits for a hundred
    iterations, each full of the others' requests.
    """
    if config.workers == 1:
        config.load()  # builds the application, which also configures logging
    listener = config.bind_socket()
    try:
        # Now rather than later: two processes may both bind a port until one of them listens.
        listener.listen(config.backlog)
    except OSError as error:
        _log.error("Cannot listen on %s:%d: %s", config.host, config.port, error.strerror)
        sys.exit(STARTUP_FAILURE)
    handles = [listener, *(listener.dup() for _ in range(ACCEPT_HANDLES - 1))]
    with suppress(KeyboardInterrupt):
        if config.workers > 1:
            Multiprocess(config, sockets=handles).run()
            return
        server = uvicorn.Server(config)
        server.run(handles)
        if not server.started:
            sys.exit(STARTUP_FAILURE)
