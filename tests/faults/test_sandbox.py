"""Sandboxes at full length: every attack on every tier, 200 kills, neighbours that hang and flood."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from scorers.hosted import slots
from scorers.hosted.attacks.selftest import selftest
from scorers.hosted.channel import Call, Judged
from scorers.hosted.sandbox import Sandbox
from tests.support.beside import beside
from tests.support.rooms import Rooms

pytestmark = pytest.mark.faults

KILLS = 200


async def test_every_attack_on_every_tier_with_time_to_do_its_worst(tier: Sandbox) -> None:
    report = await selftest(tier, deadline_s=4.0)
    assert report.holds, str(report)


def _alive() -> list[int]:
    """Processes of the uids that this process gives to sandboxes, and its own children, zombies too."""
    ours = slots.slots()
    uids = set(ours._free) if ours else set()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
            if folder.stat().st_uid in uids or parent == os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def test_200_kills_at_any_moment_leave_no_process_and_no_control_group(tier: Sandbox, rooms: Rooms) -> None:
    room = rooms.scorer("threading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)")
    chance, turns = random.Random(7), asyncio.Semaphore(4)
    before = set(_alive())

    async def one() -> None:
        async with turns:
            cell = await tier.start(room)
            calling = asyncio.ensure_future(cell.call([Call({}), Call({})], 30))
            await asyncio.sleep(chance.uniform(0, 0.3))
            calling.cancel()
            await asyncio.gather(calling, cell.kill(), return_exceptions=True)
            await cell.kill()

    await asyncio.gather(*(one() for _ in range(KILLS)))
    assert not set(_alive()) - before
    assert not list(Path("/sys/fs/cgroup").glob(f"**/vedette-{os.getpid()}-*"))


@pytest.mark.parametrize("hangs", ["while True: time.sleep(1)", "while True: pass"], ids=["sleeps", "burns"])
async def test_neighbours_that_hang_and_flood_change_little(tier: Sandbox, rooms: Rooms, hangs: str) -> None:
    cell = await tier.start(rooms.scorer("return 1"))
    noise = [await tier.start(rooms.scorer(body)) for body in (hangs, "while True: os.write(1, b'A' * 65536)")]
    calling = [asyncio.ensure_future(neighbour.call([Call({})], 3600)) for neighbour in noise]
    await asyncio.sleep(2)

    async def judged() -> None:
        assert await cell.call([Call({"x": 1})], 30) == [Judged(1.0)]

    found = await beside(judged, lambda: [neighbour.pid for neighbour in noise])
    print(f"\n{tier.name}: {found}")
    assert not any(call.done() for call in calling)
    for one in (cell, *noise):
        await one.kill()
    await asyncio.gather(*calling)
    assert found.low < 1.1
