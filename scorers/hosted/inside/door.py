"""Runs inside the sandbox: 127.0.0.1:3128 leads through a unix socket to the host's gateway and egress proxy.

As a program, `python -I -S -B door.py DOOR PATHS MODULE ARG…` opens the door and runs a module, with PATHS (`:` between) on
`sys.path`: how requirements are installed.
"""

import asyncio
import runpy
import sys
import threading

PORT = 3128


def open_door(path: str) -> None:
    """Serves in a thread of its own; returns once connections are taken."""
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(_serve(path, ready)), daemon=True).start()
    ready.wait(10)


async def _serve(path: str, ready: threading.Event) -> None:
    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, host[1]), _pump(host[0], writer))

    async with await asyncio.start_server(through, "127.0.0.1", PORT) as server:
        ready.set()
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
    runpy.run_module(module, run_name="__main__", alter_sys=True)
