"""A TCP proxy to PostgreSQL that records traffic, and can be paused and disconnected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

_HOST = "127.0.0.1"


class Proxy:
    """Forwards data between clients and server, on a port that stays the same."""

    def __init__(self, target: int) -> None:
        """Forward to a local port; a change of `target` affects new connections."""
        self.target = target
        self.port = 0
        self.recorded: list[tuple[str, bytes]] = []
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._listener: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_server(self._handle_client, _HOST, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def disconnect(self) -> None:
        """Close all connections, and refuse new ones."""
        if self._listener:
            self._listener.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def pause(self) -> None:
        """Forward nothing, but keep connections open, like an unresponsive network."""
        self._forwarding.clear()

    def resume(self) -> None:
        """Forward again, including the data held back."""
        self._forwarding.set()

    def send_invalid_message(self) -> None:
        """Send every client a malformed message: its length is smaller than its own header."""
        for client in self._clients:
            client.write(b"T\0\0\0\0")

    def turns(self) -> list[str]:
        """Return the sequence of senders, without repetitions."""
        return [sender for sender, _ in groupby(sender for sender, _ in self.recorded)]

    def client_bytes(self) -> bytes:
        """Return all data that clients have sent."""
        return b"".join(data for sender, data in self.recorded if sender == "client")

    async def _handle_client(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        session = asyncio.current_task()
        assert session
        assert self._listener
        if not self._listener.is_serving():  # accepted just before
            client_out.transport.abort()
            return
        self._sessions.add(session)
        self._clients.add(client_out)
        server_out = None
        try:
            await self._forwarding.wait()
            server_in, server_out = await asyncio.open_connection(_HOST, self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward("client", client_in, server_out))
                both.create_task(self._forward("server", server_in, client_out))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._sessions.discard(session)
            self._clients.discard(client_out)
            for out in (client_out, server_out):
                if out:
                    out.transport.abort()

    async def _forward(
        self, sender: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65536):
            await self._forwarding.wait()
            self.recorded.append((sender, data))
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError  # ends the other half of the session, too


@asynccontextmanager
async def running_proxy(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a local port."""
    proxy = Proxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.resume()
        await proxy.disconnect()
