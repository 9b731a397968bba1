"""A way to the database that can be listened to, silenced and cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

_HOST = "127.0.0.1"


class Proxy:
    """Passes on what clients and server say, on a port that stays the same."""

    def __init__(self, target: int) -> None:
        """Lead to a port; `target` can be changed for connections to come."""
        self.target = target
        self.port = 0
        self.recorded: list[tuple[str, bytes]] = []
        self._open = asyncio.Event()
        self._open.set()
        self._listener: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        """Let clients in."""
        self._listener = await asyncio.start_server(self._welcome, _HOST, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def disconnect(self) -> None:
        """Refuse clients, and hang up on those who are here."""
        if self._listener:
            self._listener.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def pause(self) -> None:
        """Pass on nothing more, and hang up on nobody: the worst that a network does."""
        self._open.clear()

    def resume(self) -> None:
        """Pass on again, what was held back too."""
        self._open.set()

    def send_invalid_message(self) -> None:
        """Tell every client what no server says: a message shorter than its own length."""
        for client in self._clients:
            client.write(b"T\0\0\0\0")

    def turns(self) -> list[str]:
        """Tell who spoke, in turns."""
        return [speaker for speaker, _ in groupby(speaker for speaker, _ in self.recorded)]

    def client_bytes(self) -> bytes:
        """Return all that clients have said."""
        return b"".join(data for speaker, data in self.recorded if speaker == "client")

    async def _welcome(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        session = asyncio.current_task()
        assert session
        self._sessions.add(session)
        self._clients.add(client_out)
        server_out = None
        try:
            await self._open.wait()
            server_in, server_out = await asyncio.open_connection(_HOST, self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on("client", client_in, server_out))
                both.create_task(self._pass_on("server", server_in, client_out))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._sessions.discard(session)
            self._clients.discard(client_out)
            for out in (client_out, server_out):
                if out:
                    out.transport.abort()

    async def _pass_on(
        self, speaker: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65536):
            await self._open.wait()
            self.recorded.append((speaker, data))
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError  # so that the other half of the session ends too


@asynccontextmanager
async def running_proxy(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a port."""
    proxy = Proxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.resume()
        await proxy.disconnect()
