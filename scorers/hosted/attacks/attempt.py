"""One attack on one tier: what the scorer says of it, and what the host sees from outside."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from scorers.hosted.attacks.attack import Attack, Stopped
from scorers.hosted.attacks.victims import Victims, sleeper
from scorers.hosted.channel import Answer, Call, Died, Judged, Raised, TimedOut
from scorers.hosted.python import reachable
from scorers.hosted.sandbox import Cell, Limits, NoRoom, Room, Sandbox

HOSTILE = Path(__file__).parent / "hostile"
LIMITS = Limits(memory_mib=160)
SLACK_S = 10.0
"""Beyond the deadline, for the start and the kill on a busy machine."""
DYING_S = 2.0
REFUSALS = (
    "PermissionError",
    "OSError",
    "BlockingIOError",
    "MemoryError",
    "RecursionError",
    "SystemExit",
    "RuntimeError: can't start",
)
"""What an attack may raise when it is stopped; another error means that it is broken itself."""
HONEST = Call({"attack": "markup"})


@dataclass(frozen=True)
class Outcome:
    """How an attack on a tier went."""

    attack: str
    stopped: bool
    evidence: str
    seconds: float


@dataclass(frozen=True)
class Arena:
    """Where attacks are tried."""

    sandbox: Sandbox
    victims: Victims
    deadline_s: float
    fork: bool = False
    """Whether the hostile scorer may start processes, where they are counted."""
    door: Path | None = None

    @property
    def room(self) -> Room:
        code = reachable(HOSTILE)
        return Room(code=code, packages=None, shim=code, door=self.door, limits=replace(LIMITS, fork=self.fork))

    async def attempt(self, attack: Attack) -> Outcome:
        """Tries an attack in a fresh sandbox."""
        began = time.monotonic()
        try:
            through, evidence = await self._tried(attack)
        except NoRoom as error:
            through, evidence = ["the sandbox did not start"], str(error)
        name = f"{attack.name} (door)" if self.door else attack.name
        return Outcome(name, not through, "; ".join([*through, evidence]), time.monotonic() - began)

    async def _tried(self, attack: Attack) -> tuple[list[str], str]:
        cell = await self.sandbox.start(self.room)
        uid = _uid_of(cell.pid)
        await cell.manifest()
        with _victim(uid, self.victims.secret, wanted=attack.victim) as victim:
            example = self.victims.example(attack.name, victim.pid if victim else 0, 3 * LIMITS.memory_mib << 20)
            began = time.monotonic()
            (answer,) = await cell.call([Call(example | {"door": self.door is not None})], self.deadline_s)
            took = time.monotonic() - began
            through = [*_said(attack, answer), *(_privileged(cell.pid, uid) if attack.name == "privileges" else [])]
            if took > self.deadline_s + SLACK_S:
                through.append(f"held the host for {took:.1f} s")
            if attack.trap:
                through += await _trapped(cell)
            await cell.kill()
            through += await _left(uid, victim)
        if attack.next_too:
            through += await self._next()
        if self.victims.marker(attack.name).exists():
            through.append("a command ran on the host")
        return through, _told(answer)

    async def _next(self) -> list[str]:
        cell = await self.sandbox.start(self.room)
        (answer,) = await cell.call([HONEST], 10 * self.deadline_s)
        await cell.kill()
        return [] if isinstance(answer, Judged) and answer.value == 0.5 else [f"the next call: {_told(answer)}"]


def _said(attack: Attack, answer: Answer) -> list[str]:
    match attack.stopped, answer:
        case Stopped.NOT_TOLD, Judged(value=1.0) if attack.name != "hostile_number":
            return ["it got through"]
        case ((Stopped.NO_SCORE | Stopped.ENDED), Judged()):
            return ["it got a score"]
        case _, Raised(error=error) if not error.startswith(REFUSALS):
            return ["it could not be tried"]
        case _:
            return []


async def _trapped(cell: Cell) -> list[str]:
    await asyncio.sleep(0.2)
    (answer,) = await cell.call([HONEST], 5.0)
    return ["the next batch believed it"] if isinstance(answer, Judged) and answer.value != 0.5 else []


@contextmanager
def _victim(uid: int, secret: str, *, wanted: bool) -> Iterator[subprocess.Popen[bytes] | None]:
    if not wanted:
        yield None
        return
    victim = sleeper(uid, secret)
    try:
        yield victim
    finally:
        victim.kill()
        victim.wait()


async def _left(uid: int, victim: subprocess.Popen[bytes] | None) -> list[str]:
    """What is alive that should not be, and the other way round."""
    end = time.monotonic() + DYING_S
    spared = {victim.pid} if victim else set()
    while uid != os.geteuid() and _of(uid) - spared:
        if time.monotonic() > end:
            return [f"{len(_of(uid) - spared)} processes survived"]
        await asyncio.sleep(0.02)
    return ["the victim was killed"] if victim and victim.poll() is not None else []


def _uid_of(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid


def _of(uid: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if folder.stat().st_uid == uid:
                found.add(int(folder.name))
    return found


def _privileged(pid: int, uid: int) -> list[str]:
    """What the host sees of each process of a sandbox: its uid, capabilities, whether it may gain privileges, its filter."""
    seen = []
    for process in _family(pid):
        with suppress(OSError):
            text = Path("/proc", str(process), "status").read_text(encoding="utf-8")
            status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            inside = status["Seccomp"].strip() == "2"
            if inside and (int(status["CapEff"], 16) or status["NoNewPrivs"].strip() != "1"):
                seen.append(f"process {process} has capabilities {status['CapEff']}")
            if status["Uid"].split()[0] != str(uid) or status["Uid"].split()[0] == "0":
                seen.append(f"process {process} has the uid {status['Uid']}")
    return seen


def _family(pid: int) -> set[int]:
    with suppress(OSError):
        children = Path("/proc", str(pid), "task", str(pid), "children").read_text(encoding="ascii").split()
        return {pid}.union(*(_family(int(child)) for child in children))
    return {pid}


def _told(answer: Answer) -> str:
    match answer:
        case Judged(value=value, reason=reason):
            return f"{value:g}: {reason}" if value is not None else reason
        case Died(why=why):
            return f"died: {why}"
        case TimedOut(after_s=after):
            return f"timed out after {after:g} s"
        case _:
            return str(answer)
