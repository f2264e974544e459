"""Acknowledgement in offset order: a commit must never pass an offset whose work is still in flight."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(slots=True)
class InFlight(Generic[E]):
    """An event and how much of what it caused is not acknowledged yet."""

    event: E
    pending: int = field(default=1)


class OffsetTracker(Generic[E]):
    """The events of one partition that are in flight, in the order of their offsets."""

    def __init__(self) -> None:
        self._waiting: deque[InFlight[E]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, event: E) -> InFlight[E]:
        """Notes an event; call in offset order. It is in flight until `done` was called once more than `more`."""
        entry = InFlight(event)
        self._waiting.append(entry)
        return entry

    @staticmethod
    def more(entry: InFlight[E], count: int) -> None:
        """Notes that `count` further acknowledgements must come before the event is finished."""
        entry.pending += count

    def done(self, entry: InFlight[E]) -> list[E]:
        """Takes one acknowledgement and returns the events that may be acked now, in offset order."""
        entry.pending -= 1
        finished = []
        while self._waiting and self._waiting[0].pending == 0:
            finished.append(self._waiting.popleft().event)
        return finished
