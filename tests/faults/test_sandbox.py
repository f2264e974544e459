"""Sandboxes at full length: every attack on every tier, 200 kills, neighbours that hang and flood."""

import asyncio
import os
import random
import statistics
import time
from pathlib import Path

import pytest

from scorers.hosted import slots
from scorers.hosted.attacks.selftest import selftest
from scorers.hosted.channel import Call, Judged
from scorers.hosted.sandbox import Cell, Sandbox
from tests.support.rooms import Rooms

pytestmark = pytest.mark.faults

KILLS = 200
STRETCH_S = 1.5
ROUNDS = 16


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


async def _latencies(cell: Cell, seconds: float) -> list[float]:
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        (answer,) = await cell.call([Call({"x": 1})], 30)
        took.append(time.perf_counter() - began)
        assert isinstance(answer, Judged)
        await asyncio.sleep(0.002)
    return took


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


async def test_neighbours_that_hang_and_flood_change_little(tier: Sandbox, rooms: Rooms) -> None:
    """Quiet and noisy stretches in turn, so that what else the machine does falls on both."""
    cell = await tier.start(rooms.scorer("return 1"))
    hanging = rooms.scorer("while True: time.sleep(1)")
    flooding = rooms.scorer("while True: os.write(1, b'A' * 65536)")
    quiet, noisy = [], []
    for _ in range(ROUNDS):
        quiet.append(_p99(await _latencies(cell, STRETCH_S)))
        noise = [await tier.start(room) for room in (hanging, flooding)]
        calling = [asyncio.ensure_future(neighbour.call([Call({})], 60)) for neighbour in noise]
        await asyncio.sleep(0.5)
        noisy.append(_p99(await _latencies(cell, STRETCH_S)))
        for call, neighbour in zip(calling, noise, strict=True):
            call.cancel()
            await neighbour.kill()
    await cell.kill()
    ratio = statistics.median(noisy) / statistics.median(quiet)
    print(
        f"\n{tier.name}: p99 {statistics.median(quiet) * 1e3:.2f} ms alone, {statistics.median(noisy) * 1e3:.2f} ms beside them: {ratio:.2f}x"
    )
    assert ratio < 1.1
