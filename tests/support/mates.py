"""Further workers that join and leave beside those of a stack, at the moments that a seed chooses."""

import random
import subprocess
import time
from dataclasses import dataclass, field
from typing import Self

from tests.support.system import VEDETTE, System

WORKERS: dict[str, tuple[str, ...]] = {
    "normalise": ("normalise",),
    "complete": ("complete",),
    "sample": ("sample",),
    "score": ("score", "--class", "code"),
    "later": ("later",),
    "match": ("match",),
    "count": ("count",),
    "deliver": ("deliver",),
    "store": ("store",),
}
"""The commands of the jobs that may have several workers."""


@dataclass
class Mates:
    """At most one further worker of each job; who goes is killed or asked to, by chance."""

    system: System
    seed: int = 1
    joined: int = 0
    killed: int = 0
    left: int = 0
    _running: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._chance = random.Random(self.seed)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)

    def come_and_go(self, steps: int, pause_s: float) -> None:
        """Lets one worker join or leave, again and again."""
        for job in self._order(steps):
            self._join(job) if job not in self._running else self._leave(job)
            time.sleep(pause_s)

    def _order(self, steps: int) -> list[str]:
        """Every job in turn, shuffled anew each round: all join, all leave."""
        jobs = list(WORKERS)
        rounds = [self._chance.sample(jobs, len(jobs)) for _ in range(-(-steps // len(jobs)))]
        return [job for one in rounds for job in one][:steps]

    def _join(self, job: str) -> None:
        told = {**self.system.environment, **self.system.settings.environment()}
        output = self.system.data_dir / "logs" / f"mate-{job}.log"
        with output.open("ab") as log:
            self._running[job] = subprocess.Popen(
                [VEDETTE, *WORKERS[job]], env=told, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.joined += 1

    def _leave(self, job: str) -> None:
        process = self._running.pop(job)
        assert process.poll() is None, f"the further {job} ended by itself: see its log"
        if self._chance.random() < 0.5:
            process.kill()
            self.killed += 1
        else:
            process.terminate()
            self.left += 1
        process.wait(60)
