"""What the host believes about a batch that runs in a sandbox: pure, times are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scorers.hosted.channel import Answer, Died, Garbage, Json, TimedOut, Unfinished, answer

BEATS_PER_S = 8
"""The worker sends four, and only while an example is slow."""
LIVELY_S = 1.0
"""A worker heard within this time is not held up by one thread that keeps the interpreter for itself."""


@dataclass
class Batch:
    """One batch on its way. The worker's own word counts only where it can do no harm to others."""

    nonce: str
    size: int
    deadline_s: float
    sent_at: float
    first: bool = False
    """The first one of its sandbox: nobody earlier can have left a trap."""
    answers: dict[int, Answer] = field(default_factory=dict)
    running: dict[int, float] = field(default_factory=dict)
    """Examples begun and not answered, with their starts."""
    heard_at: float = 0.0
    beats: int = 0

    @property
    def complete(self) -> bool:
        return len(self.answers) == self.size

    def read(self, frame: Json, now: float) -> None:
        """Takes what a frame says.

        Raises:
            Garbage: it answers something else, something twice, or something not begun.

        """
        if frame.get("n") != self.nonce:
            raise Garbage("a frame of another batch")
        self.heard_at = now
        if "s" in frame:
            self._begin(self._index(frame, "s"), now)
        elif "a" in frame:
            index = self._index(frame, "a")
            if self.running.pop(index, None) is None:
                raise Garbage(f"an answer to example {index}, which does not run")
            self.answers[index] = answer(frame)
        elif "b" in frame:
            self._beat(now)
        else:
            raise Garbage("a frame without meaning")

    def _begin(self, index: int, now: float) -> None:
        if index in self.running or index in self.answers:
            raise Garbage(f"example {index} began twice")
        self.running[index] = now

    def _beat(self, now: float) -> None:
        self.beats += 1
        if self.beats > 4 + BEATS_PER_S * (now - self.sent_at):
            raise Garbage("a flood of frames")

    def _index(self, frame: Json, name: str) -> int:
        index = frame[name]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < self.size:
            raise Garbage(f"an example that was not asked: {str(index)[:40]}")
        return index

    def due(self) -> float:
        """Returns the time at which the deadline of some example has passed."""
        since = min(self.running.values()) if self.running else max(self.sent_at, self.heard_at)
        return since + self.deadline_s

    def overdue(self, now: float) -> list[Answer]:
        """Returns all answers when a deadline has passed and the sandbox is killed for it."""
        late = {index for index, since in self.running.items() if now >= since + self.deadline_s}
        certain = len(self.running) == 1 or (bool(self.running) and now - self.heard_at < LIVELY_S)
        if certain and late:
            return self._ended(dict.fromkeys(late, TimedOut(self.deadline_s)))
        return self._ended_by(TimedOut(self.deadline_s))

    def died(self, why: str) -> list[Answer]:
        """Returns all answers when the sandbox has ended."""
        return self._ended_by(Died(why))

    def garbled(self, error: Garbage) -> list[Answer]:
        """Returns all answers when what came out was no answer; perhaps an earlier batch left something that speaks."""
        return self._ended_by(Died(f"garbage: {error}")) if self.first else self._ended({})

    def _ended_by(self, blame: Answer) -> list[Answer]:
        """Blames the one that ran. With several, or none to be seen, each left unanswered must be tried alone."""
        left = [index for index in range(self.size) if index not in self.answers]
        at_fault = list(self.running) or ([] if self.answers else left)
        if len(at_fault) == 1:
            return self._ended({at_fault[0]: blame})
        return self._ended(dict.fromkeys(at_fault, Unfinished(suspect=True)))

    def _ended(self, at_fault: Mapping[int, Answer]) -> list[Answer]:
        return [self.answers.get(i) or at_fault.get(i) or Unfinished() for i in range(self.size)]
