"""The line of one scorer version: the calls that wait, the sandboxes that take them in batches, and what its answers tell of it."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog
from prometheus_client import Counter as Metric

from scorers.hosted.channel import Answer, Call, Died, Judged, Raised, Unfinished
from scorers.hosted.sandbox import Cell
from scorers.hosted.turns import Terms
from scorers.providers.caller import Trouble
from scorers.scorer import Permanent, Transient

log = structlog.get_logger()

ANSWERS = Metric("vedette_hosted_answers_total", "Answers of hosted scorers", ["kind"])


class Key(NamedTuple):
    """A scorer version of a project. Projects never share a sandbox, not even for a scorer of the organization."""

    project: str
    scorer: str
    version: str


class Opened(Protocol):
    """A running sandbox and what belongs to it on the host."""

    @property
    def cell(self) -> Cell: ...

    def spent(self) -> tuple[float, Trouble | None]:
        """Returns the dollars that its model calls cost since the last time, and what stood in their way."""
        ...

    async def close(self) -> None:
        """Ends the sandbox and everything that belongs to it."""
        ...


class Done(NamedTuple):
    """What came of a call."""

    answer: Answer
    usd: float
    """Its share of what its batch spent on models."""
    trouble: Trouble | None


@dataclass(eq=False)
class Waiting:
    """A call, and the future of what comes of it."""

    call: Call
    done: "asyncio.Future[Done]"
    since: float
    alone: bool = False
    tries: int = 0


@dataclass(eq=False)
class Warm:
    """A sandbox that runs."""

    opened: Opened
    born: float
    used: float
    calls: int = 0


@dataclass(eq=False)
class Line:
    """The calls and the sandboxes of one scorer version."""

    key: Key
    terms: Terms
    deadline_s: float
    moved: float
    """When it last answered, or began."""
    waiting: deque[Waiting] = field(default_factory=deque)
    idle: list[Warm] = field(default_factory=list)
    warm: set[Warm] = field(default_factory=set)
    cells: int = 0
    """Starting, busy, idle or ending."""
    admitted: int = 0
    mean_s: float = 0.0
    deaths: int = 0
    not_before: float = 0.0
    is_due: bool = False
    """It is served in this turn of the loop, with all that come until then."""
    timer: asyncio.TimerHandle | None = None
    gate: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    def batch(self) -> list[Waiting]:
        """Takes the next batch out of what waits; a suspect goes alone."""
        batch = [self.waiting.popleft()]
        size = 1 if batch[0].alone else self.terms.batch_size(self.mean_s)
        while self.waiting and len(batch) < size and not self.waiting[0].alone:
            batch.append(self.waiting.popleft())
        return batch

    def took(self, seconds: float) -> None:
        """Notes how long an example of a batch took in the mean."""
        self.mean_s = seconds if not self.mean_s else 0.8 * self.mean_s + 0.2 * seconds

    def settle(self, batch: Sequence[Waiting], answers: Sequence[Answer], usd: float, trouble: Trouble | None) -> None:
        """Tells a batch its answers; a call that its sandbox left unfinished waits again, before all others.

        Args:
            batch: the calls.
            answers: of each of them.
            usd: what each spent on models.
            trouble: what stood in the way of these.

        """
        again = []
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Unfinished) and one.tries + 1 < self.terms.most_tries:
                one.tries, one.alone = one.tries + 1, one.alone or answer.suspect
                again.append(one)
                continue
            final = Died(f"its sandbox was ended {one.tries + 1} times") if isinstance(answer, Unfinished) else answer
            ANSWERS.labels(type(final).__name__).inc()
            if not one.done.done():
                one.done.set_result(Done(final, usd, trouble))
        self.waiting.extendleft(reversed(again))
        if any(isinstance(answer, Judged | Raised) for answer in answers):
            self.moved, self.deaths = time.monotonic(), 0

    def died(self) -> None:
        """Notes that a sandbox died or did not start: the next one starts after a pause."""
        self.deaths += 1
        self.not_before = time.monotonic() + self.terms.pause_s(self.deaths)

    def refuse(self, error: Exception) -> None:
        """Tells all who wait that there is no sandbox; the next one to come tries again, after a pause."""
        self.died()
        told = error if isinstance(error, Transient | Permanent) else Permanent(f"its sandbox does not start: {error}")
        log.warning("no sandbox", project=self.key.project, scorer=self.key.scorer, reason=str(told))
        while self.waiting:
            waiting = self.waiting.popleft()
            if not waiting.done.done():
                waiting.done.set_exception(told)

    def soonest(self) -> float:
        """Returns from when another sandbox may start for the call that waits first."""
        if self.cells == 0:
            return self.not_before
        return max(self.not_before, self.waiting[0].since + self.terms.patience_s)
