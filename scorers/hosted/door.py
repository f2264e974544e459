"""The door of a sandbox: one unix socket of the host, behind which are the gateway and the egress proxy.

Who calls is known by the socket: every sandbox has one of its own. A connection that begins with CONNECT is the proxy's, any other
is HTTP and the gateway's.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.providers.caller import Meter

PORT = 3128
"""Where the door is seen inside, on 127.0.0.1."""
MOST_CONNECTIONS = 64
"""Of one sandbox at once; more are closed."""
HEAD_BYTES = 8192
_TUNNEL = b"CONNECT "


def environment(provider: str = "openai") -> dict[str, str]:
    """Returns the variables that lead the clients in a sandbox to its door. The key is a placeholder: the gateway adds the real one."""
    proxy = f"http://127.0.0.1:{PORT}"
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "OPENAI_BASE_URL": f"{proxy}/{provider}/v1",
        "OPENAI_API_KEY": "held-by-the-gateway",
    }


@asynccontextmanager
async def open_door(path: Path, meter: Meter, gateway: Gateway, egress: Egress) -> AsyncIterator[Path]:
    """Serves a unix socket at `path` for one sandbox; whoever may enter its folder may connect."""
    http = web.Server(partial(gateway.handle, meter), access_log=None)
    room = _Room(http, partial(egress.connect, meter.project))
    with _listening(path) as listening:
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Caller(room), sock=listening)
        try:
            yield path
        finally:
            server.close()
            await http.shutdown(0)


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o666)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


@dataclass
class _Room:
    """What is behind a door, and how many have come in."""

    http: web.Server
    tunnel: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    connections: int = 0

    def serve(self, head: bytes) -> asyncio.Protocol | None:
        """Returns who serves a connection that begins so; None: more of it has to be read."""
        if head.startswith(_TUNNEL):
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(HEAD_BYTES), self.tunnel)
        return None if _TUNNEL.startswith(head) else self.http()


class _Caller(asyncio.Protocol):
    """One connection: finds out whose it is, and hands everything on."""

    def __init__(self, room: _Room) -> None:
        self._room, self._head = room, b""
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._room.connections += 1
        if self._room.connections > MOST_CONNECTIONS:
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
            return
        self._head += data
        self._inner = self._room.serve(self._head)
        if self._inner is not None:
            self._inner.connection_made(self._transport)
            self._inner.data_received(self._head)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner else None

    def connection_lost(self, error: Exception | None) -> None:
        self._room.connections -= 1
        if self._inner:
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        if self._inner:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner:
            self._inner.resume_writing()
