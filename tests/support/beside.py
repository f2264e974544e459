"""What a neighbour costs: latencies with it stopped and running in short stretches, so that whatever else the machine does falls on both."""

import asyncio
import os
import random
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STRETCHES = 100
STRETCH_S, WARM_S = 0.2, 0.05
"""A process that was stopped is given a processor anew: the first calls beside it measure the waking and are left out."""
PACE_S = 0.003
DRAWS = 300


@dataclass(frozen=True)
class Beside:
    """p99 of a call in seconds, alone and beside the neighbours, and their ratio with its 95 % interval (bootstrap over stretches)."""

    alone: float
    beside: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.beside / self.alone

    def __str__(self) -> str:
        return (
            f"p99 {self.alone * 1e3:.2f} ms alone, {self.beside * 1e3:.2f} ms beside them:"
            f" {self.ratio:.2f}x ({self.low:.2f} to {self.high:.2f})"
        )


async def beside(call: Callable[[], Awaitable[object]], neighbours: Callable[[], Iterable[int]]) -> Beside:
    """Returns what the neighbours change for a call.

    Args:
        call: made one at a time, with short pauses.
        neighbours: the outermost processes of their sandboxes, as they are now.

    """
    chance = random.Random(7)
    found: tuple[list[list[float]], list[list[float]]] = ([], [])
    for _ in range(STRETCHES):
        for runs in chance.sample((0, 1), 2):
            _signal(neighbours(), signal.SIGCONT if runs else signal.SIGSTOP)
            await _latencies(call, WARM_S)
            found[runs].append(await _latencies(call, STRETCH_S))
    _signal(neighbours(), signal.SIGCONT)
    every = range(STRETCHES)
    ratios = sorted(_ratio(found, chance.choices(every, k=STRETCHES)) for _ in range(DRAWS))
    return Beside(_p99(found[0], every), _p99(found[1], every), ratios[DRAWS // 40], ratios[-DRAWS // 40])


async def _latencies(call: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    took, end = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PACE_S)
    return took


def _ratio(found: tuple[list[list[float]], list[list[float]]], chosen: Sequence[int]) -> float:
    return _p99(found[1], chosen) / _p99(found[0], chosen)


def _p99(stretches: list[list[float]], chosen: Sequence[int]) -> float:
    return statistics.quantiles((took for index in chosen for took in stretches[index]), n=100)[98]


def _signal(outermost: Iterable[int], number: int) -> None:
    for pid in set().union(*map(family, outermost)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    try:
        children = Path("/proc", str(pid), "task", str(pid), "children").read_text(encoding="ascii").split()
    except OSError:
        return set()
    return {pid}.union(*(family(int(child)) for child in children))
