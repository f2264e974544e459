"""Whether a tier holds on this machine: all attacks on it, or the short list, several at a time."""

import asyncio
import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scorers.hosted.attacks.attack import ATTACKS, Attack
from scorers.hosted.attacks.attempt import Arena, Outcome
from scorers.hosted.attacks.victims import Victims
from scorers.hosted.sandbox import Sandbox

AT_A_TIME = 8
DEADLINE_S = 1.0
OPEN = {"landlock"}
"""Tiers without a pid namespace."""


@dataclass(frozen=True)
class Report:
    """How a tier held."""

    tier: str
    outcomes: tuple[Outcome, ...]

    @property
    def through(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.stopped)

    @property
    def holds(self) -> bool:
        return bool(self.outcomes) and not self.through

    def __str__(self) -> str:
        stopped = f"{self.tier}: {len(self.outcomes) - len(self.through)} of {len(self.outcomes)} attacks stopped"
        return "\n".join(
            [stopped, *(f"  {outcome.attack} got through: {outcome.evidence}" for outcome in self.through)]
        )


def against(sandbox: Sandbox, *, quick: bool) -> list[Attack]:
    """Returns the attacks that are tried on a tier."""
    return [a for a in ATTACKS if (a.quick or not quick) and not (a.contained and sandbox.name in OPEN)]


async def selftest(sandbox: Sandbox, *, quick: bool = False, deadline_s: float = DEADLINE_S) -> Report:
    """Returns how a tier holds, every attack in a fresh sandbox.

    Args:
        sandbox: the tier.
        quick: only the short list, which takes a few seconds.
        deadline_s: seconds for each attack.

    """
    attacks = against(sandbox, quick=quick)
    with Victims() as victims:
        probe = sandbox.probe()
        arena = Arena(sandbox, victims, deadline_s, probe.fork)
        outcomes = await _all(arena, attacks)
        if probe.door:
            async with AsyncExitStack() as stack:
                outcomes += await _with_door(stack, arena, [attack for attack in attacks if attack.door])
    return Report(sandbox.name, tuple(outcomes))


async def _with_door(stack: AsyncExitStack, arena: Arena, attacks: Sequence[Attack]) -> list[Outcome]:
    door = arena.victims.folder / "door.sock"
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), door)
    await stack.enter_async_context(server)
    door.chmod(0o777)
    return await _all(replace(arena, door=door), attacks)


async def _all(arena: Arena, attacks: Sequence[Attack]) -> list[Outcome]:
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(attack: Attack) -> Outcome:
        async with turns:
            return await arena.attempt(attack)

    return list(await asyncio.gather(*map(one, attacks)))


async def remembered(sandbox: Sandbox, folder: Path) -> Report:
    """Returns the report on the short list, from `folder` if this machine, kernel, tier and code were tried before."""
    file = folder / f"selftest-{_key(sandbox)}.json"
    if (kept := _kept(file)) is not None:
        return Report(sandbox.name, kept)
    report = await selftest(sandbox, quick=True)
    if report.holds:
        _keep(file, report)
    return report


def _kept(file: Path) -> tuple[Outcome, ...] | None:
    if not file.exists():
        return None
    return tuple(Outcome(**outcome) for outcome in json.loads(file.read_text(encoding="utf-8")))


def _keep(file: Path, report: Report) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(outcome) for outcome in report.outcomes]), encoding="utf-8")


def _key(sandbox: Sandbox) -> str:
    """Of all that a verdict depends on: kernel, uid, tier with its configuration, what it lacks here, Python, this code."""
    code = Path(__file__).parents[1]
    known = hashlib.blake2b(digest_size=16)
    for part in (*platform.uname(), str(os.geteuid()), repr(sandbox), repr(sandbox.probe()), sys.version):
        known.update(part.encode() + b"\0")
    for file in sorted(code.rglob("*.py")):
        known.update(file.read_bytes())
    return known.hexdigest()
