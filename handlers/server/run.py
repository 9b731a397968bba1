"""uvicorn: its configuration, its socket, and how many connections it accepts at a time."""

import logging
import multiprocessing
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil

import uvicorn
from uvicorn import _subprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from handlers.middleware.cors import headers_by_origin
from handlers.server.limits import ConnectionLimiter, Limits, raise_file_limit
from handlers.server.protocol import Protocol

ACCEPT_HANDLES = 8
# Workers that are still importing do not reply yet. With uvicorn's default of 5 seconds, a
# busy machine would replace them again and again.
STARTUP_TIMEOUT = 60

_log = logging.getLogger("todo.server")


class CannotListen(Exception):
    """The address cannot be listened on; the text is one sentence that says why."""


class Supervisor(Multiprocess):
    """uvicorn's parent of worker processes; SIGHUP replaces one worker after the other.

    A fork server imports the application once. Workers are forked from it, so they share that
    memory, and start in a fraction of the time.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """Supervise workers that serve the application of `config`, an import string.

        The fork server imports the module `preload` of that application's package.
        """
        super().__init__(config, sockets)
        context = multiprocessing.get_context("forkserver")
        module, _, _ = str(config.app).partition(":")
        context.set_forkserver_preload([f"{module}.preload"])
        _subprocess.spawn = context  # type: ignore[assignment]  # uvicorn has no option for it

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended, or do not reply.

        The parent's copies of their ends of the pipes are closed first. With those, a worker
        that is killed while it is asked would be waited for until the timeout.
        """
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """Stop all workers, and refuse connections that none of them would accept."""
        for handle in self.sockets:
            handle.close()
        super().terminate_all()


def check_address(host: str, port: int, names: str = "HOST or PORT") -> None:
    """Check that the address in these settings can be bound. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:  # UnicodeError: what cannot be a host name
        reason = getattr(error, "strerror", None) or "no such host"
        msg = f"Cannot listen on {host}:{port} ({reason}): set {names}."
        raise CannotListen(msg) from None


def run(  # noqa: PLR0913 (what is configured)
    factory: str,
    *,
    host: str,
    port: int,
    workers: int,
    root_path: str,
    allow_origins: Sequence[str],
    limits: Limits,
    pool_size: int,
    shutdown_timeout: float,
) -> None:
    """Serve the application that `factory` builds until a signal stops the process.

    `factory` is an import string, such as `app:from_environment`, which each worker
    process calls; `root_path` is that of ASGI, `allow_origins` are those of CORS, `pool_size`
    is the number of connections to the database, which `limits` do not concern. Exits with
    STARTUP_FAILURE if serving cannot begin. Requests in flight get `shutdown_timeout` seconds
    to end.
    """
    most = min(limits.max_connections, raise_file_limit(pool_size))
    limiter = ConnectionLimiter(replace(limits, max_connections=most))
    _serve(
        uvicorn.Config(
            factory,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            root_path=root_path,
            http=partial(  # type: ignore[arg-type]
                Protocol,
                limiter=limiter,
                shares_socket=workers > 1,
                cors=headers_by_origin(allow_origins),
            ),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # in app/, where the client's address matters
            timeout_graceful_shutdown=ceil(shutdown_timeout),
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
            Supervisor(config, sockets=handles).run()
            return
        server = uvicorn.Server(config)
        server.run(handles)
        if not server.started:
            sys.exit(STARTUP_FAILURE)
