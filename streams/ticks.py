"""Ticks: a job with timers writes one into each partition it owns, every 5 s, and takes the time from what it reads there."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from schemas.rule import Tick
from schemas.topics import Topic
from streams.records import Out

TICK_S = 5.0
WEDGED_AFTER_S = 30.0
"""A job that has not read its own tick for this long ends and is started again."""


@dataclass
class Ticks:
    """The ticks of one job on the one topic that it reads."""

    job: str
    topic: Topic
    clock: Callable[[], float] = time.monotonic
    _written: float = float("-inf")
    _read: dict[int, float] = field(default_factory=dict)

    def read(self, partition: int) -> None:
        """Tells that a record of this partition was read: what was written there comes back."""
        self._read[partition] = self.clock()

    def forget(self, partition: int) -> None:
        """Tells that a partition has come or gone."""
        self._read.pop(partition, None)

    def due(self, partitions: Iterable[int]) -> list[Out]:
        """Returns a tick for each of these partitions, every 5 s.

        Raises:
            RuntimeError: an own tick has not come back for 30 s.

        """
        now = self.clock()
        if now - self._written < TICK_S:
            return []
        if now - self._written > 2 * TICK_S:  # Kafka was away, or a batch took long: nothing could have come back
            self._read.clear()
        self._written = now
        wedged = [p for p in partitions if now - self._read.setdefault(p, now) > WEDGED_AFTER_S]
        if wedged:
            raise RuntimeError(f"own ticks of partitions {wedged} do not come back for {WEDGED_AFTER_S:g} s")
        return [Out(self.topic, None, Tick(job=self.job), partition=partition) for partition in partitions]
