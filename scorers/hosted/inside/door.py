"""Runs inside the sandbox: 127.0.0.1:3128 leads through a unix socket to the host's gateway and egress proxy.

As a program, `python -I -S -B door.py DOOR PATHS MODULE ARG…` opens the door and runs a module, with PATHS (`:` between) on
`sys.path`: how requirements are installed.
"""

from __future__ import annotations

import _socket
import select
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

ADDRESS = ("127.0.0.1", 3128)


def open_door(path: str) -> None:
    """Takes connections from now on, in a thread of its own."""
    listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listening.bind(ADDRESS)
    listening.listen(100)
    threading.Thread(target=_wait, args=(path, listening), daemon=True).start()


def _wait(path: str, listening: _socket.socket) -> None:
    """Imports asyncio when somebody knocks: most scorers never do, and it would double the memory of an idle sandbox."""
    select.select([listening], [], [])
    import asyncio

    asyncio.run(_serve(path, listening.detach()))


async def _serve(path: str, listening: int) -> None:
    import asyncio
    import socket

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, host[1]), _pump(host[0], writer))

    async with await asyncio.start_server(through, sock=socket.socket(fileno=listening)) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


if __name__ == "__main__":
    door, paths, module = sys.argv[1:4]
    if door:
        open_door(door)
    sys.path.extend(filter(None, paths.split(":")))
    sys.argv = [module, *sys.argv[4:]]
    import runpy

    runpy.run_module(module, run_name="__main__", alter_sys=True)
