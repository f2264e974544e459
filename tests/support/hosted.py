"""Building for tests: the tier that holds here, folders that its sandboxes can reach, and `POST /builds` as the runner serves it."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from aiohttp import web

from scorers.hosted.best import best
from scorers.hosted.build import Builder
from scorers.hosted.index import Budget, Index
from scorers.hosted.install import Installer
from scorers.hosted.sandbox import Sandbox
from streams.runner_builds import routes
from streams.settings import Settings


@cache
def tier() -> Sandbox:
    """Returns the best sandbox of this machine, in which pip must be able to reach a door."""
    found = best()
    assert found.sandbox is not None, found.told
    assert found.sandbox.probe().door, found.told
    return found.sandbox


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yields a folder that the uid of a sandbox can reach; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def builder(index: Index, folder: Path, budget: Budget | None = None, within_s: float = 120) -> Builder:
    """Returns a builder in the tier that holds here."""
    return Builder(Installer(tier(), index, folder, budget or Budget()), within_s=within_s)


@contextmanager
def builds_served(builder: Builder, settings: Settings) -> Iterator[str]:
    """Serves `POST /builds` in a thread of its own; yields its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.AppRunner, str]:
        app = web.Application()
        app.add_routes(routes(builder.build, settings, lambda: ""))
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, site.name

    runner, url = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
