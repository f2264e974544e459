"""Opens sandboxes for scorer versions: code and packages on this disk, a door of its own, the worker inside."""

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from scorers.hosted import door
from scorers.hosted.build import Builder, BuildFailed
from scorers.hosted.bundle import Bundle
from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.hosted.install import SHIM
from scorers.hosted.line import Key
from scorers.hosted.sandbox import Cell, Limits, Room, Sandbox
from scorers.providers.caller import Meter, Trouble
from scorers.scorer import Transient

NOT_PREPARED_S = 60.0
"""After this a version is tried again whose packages this disk lacks and the index did not give."""

Find = Callable[[Key], tuple[Bundle, str]]
"""Returns the code of a scorer version, and the lock that its requirements were resolved to."""


@dataclass
class Furnished:
    """A running sandbox with its door."""

    cell: Cell
    meter: Meter
    held: AsyncExitStack

    def spent(self) -> tuple[float, Trouble | None]:
        """Returns the dollars that its model calls cost since the last time, and what stood in their way."""
        return self.meter.take()

    async def close(self) -> None:
        """Ends the sandbox, then its door."""
        await self.cell.kill()
        await self.held.aclose()


@dataclass(frozen=True)
class Rooms:
    """What every sandbox of a runner shares on the host."""

    sandbox: Sandbox
    builder: Builder
    find: Find
    gateway: Gateway
    egress: Egress
    doors: Path
    """Folder of the doors: whoever knows the name of one may use it, so nobody else may list it."""
    limits: Limits
    has_doors: bool = True
    """Whether a sandbox of this tier can have one."""

    async def open(self, key: Key) -> Furnished:
        """Starts a sandbox for a scorer version.

        Raises:
            Transient: its packages are not on this disk and cannot be installed now.
            NoRoom: the tier cannot build the room.

        """
        bundle, lock = self.find(key)
        try:
            place = await self.builder.prepare(bundle, lock)
        except BuildFailed as failed:
            raise Transient(f"its packages cannot be installed on this runner: {failed}", NOT_PREPARED_S) from failed
        meter = Meter(key.project, key.scorer)
        async with AsyncExitStack() as stack:
            path = await self._door(stack, meter) if self.has_doors else None
            room = Room(place.code, place.packages, SHIM, path, door.environment(), self.limits)
            cell = await self.sandbox.start(room)
            return Furnished(cell, meter, stack.pop_all())

    async def _door(self, stack: AsyncExitStack, meter: Meter) -> Path:
        path = self.doors / secrets.token_hex(16)
        return await stack.enter_async_context(door.open_door(path, meter, self.gateway, self.egress))
