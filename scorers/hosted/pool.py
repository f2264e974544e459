"""Warm sandboxes for hosted scorers: each scorer version has a line of calls and some sandboxes that take batches from it.

Nobody waits for another's scorer. Calls that wait and sandboxes that run are shared by `may_take`; whoever finds a scorer full that
stands still is told so at once. A call whose sandbox ends through a neighbour is called again in a fresh one, alone if it is a suspect.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Gauge, Histogram

from scorers.hosted.channel import Answer, Call, Died, Judged, Raised, Unfinished
from scorers.hosted.sandbox import Cell
from scorers.hosted.turns import Terms, least_recent, may_take, next_in_turn
from scorers.providers.caller import Trouble
from scorers.scorer import Permanent, Transient

log = structlog.get_logger()

TIDY_EVERY_S = 5.0

STARTED = Metric("vedette_cells_started_total", "Sandboxes started")
ENDED = Metric("vedette_cells_ended_total", "Sandboxes ended, by why", ["why"])
CELLS = Gauge("vedette_cells", "Sandboxes that run")
START_SECONDS = Histogram("vedette_cell_start_seconds", "From asking for a sandbox to its first word")
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
class _Waiting:
    call: Call
    done: "asyncio.Future[Done]"
    since: float
    alone: bool = False
    tries: int = 0


@dataclass(eq=False)
class _Warm:
    opened: Opened
    born: float
    used: float
    calls: int = 0


@dataclass(eq=False)
class _Line:
    """The calls and the sandboxes of one scorer version."""

    key: Key
    deadline_s: float
    moved: float
    """When it last answered, or began."""
    waiting: deque[_Waiting] = field(default_factory=deque)
    idle: list[_Warm] = field(default_factory=list)
    warm: set[_Warm] = field(default_factory=set)
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


class Pool:
    """Judges calls in sandboxes that `open_cell` starts; its deadline counts from each example's own start."""

    def __init__(self, open_cell: Callable[[Key], Awaitable[Opened]], terms: Terms = Terms()) -> None:  # noqa: B008 - frozen
        self._open, self._terms = open_cell, terms
        self._lines: dict[Key, _Line] = {}
        self._admitted: Counter[str] = Counter()
        self._wanting: dict[_Line, None] = {}
        """Lines that found no sandbox free, in the order of their asking."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.Task[None] | None = None
        self._closed = False

    async def judge(self, key: Key, call: Call, deadline_s: float) -> Done:
        """Returns what comes of a call.

        Args:
            key: whose sandboxes judge it.
            call: the subject.
            deadline_s: seconds for the example, from its own start.

        Raises:
            Transient: too many wait for this scorer already, or it cannot be started now.
            Permanent: its sandbox cannot be started.

        """
        line = self._line(key, deadline_s)
        await self._admit(line)
        waiting = _Waiting(call, asyncio.get_running_loop().create_future(), time.monotonic())
        line.waiting.append(waiting)
        if not line.is_due:
            line.is_due = True
            asyncio.get_running_loop().call_soon(self._serve, line)
        try:
            return await waiting.done
        finally:
            self._leave(line)

    def _line(self, key: Key, deadline_s: float) -> _Line:
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy())
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, deadline_s, time.monotonic())
        line.deadline_s = deadline_s  # of the newest document
        return line

    async def _admit(self, line: _Line) -> None:
        """Waits for a place while the scorer moves."""
        project = line.key.project
        while not may_take(line.admitted, self._admitted[project], self._terms.calls - self._admitted.total()):
            if time.monotonic() - line.moved > self._terms.stands_s:
                raise Transient(f"{line.admitted} evaluations wait for the scorer, which answers too slowly", 30.0)
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.gate.append(gate)
            await asyncio.wait([gate], timeout=0.5)
            gate.cancel()  # who has left for another look is not called any more
        if line.admitted == 0:
            line.moved = time.monotonic()
        line.admitted += 1
        self._admitted[project] += 1

    def _leave(self, line: _Line) -> None:
        line.admitted -= 1
        self._admitted[line.key.project] -= 1
        while line.gate:
            gate = line.gate.popleft()
            if not gate.done():
                gate.set_result(None)
                return

    def _serve(self, line: _Line) -> None:
        """Gives waiting calls to idle sandboxes, and starts one when there is none."""
        line.is_due = False
        while line.waiting and line.idle:
            self._run(self._batch(line, line.idle.pop(), self._taken(line)))
        if line.waiting:
            self._want(line)

    def _taken(self, line: _Line) -> list[_Waiting]:
        """The next batch; a suspect goes alone."""
        batch = [line.waiting.popleft()]
        size = 1 if batch[0].alone else self._terms.batch_size(line.mean_s)
        while line.waiting and len(batch) < size and not line.waiting[0].alone:
            batch.append(line.waiting.popleft())
        return batch

    async def _batch(self, line: _Line, warm: _Warm, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            answers = await warm.opened.cell.call([one.call for one in batch], line.deadline_s)
        except Exception as error:  # it does not raise for what a scorer does
            log.exception("a sandbox cannot be called", scorer=line.key.scorer)
            answers = [Died(f"it cannot be called: {error}")] * len(batch)
        usd, trouble = warm.opened.spent()
        warm.used, warm.calls = time.monotonic(), warm.calls + len(batch)
        took_s = (warm.used - began) / len(batch)
        line.mean_s = took_s if not line.mean_s else 0.8 * line.mean_s + 0.2 * took_s
        self._settle(line, batch, answers, usd / len(batch), trouble)
        self._after(line, warm)

    def _settle(
        self, line: _Line, batch: Sequence[_Waiting], answers: Sequence[Answer], usd: float, trouble: Trouble | None
    ) -> None:
        again = []
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Unfinished) and one.tries + 1 < self._terms.most_tries:
                one.tries, one.alone = one.tries + 1, one.alone or answer.suspect
                again.append(one)
                continue
            final = Died(f"its sandbox was ended {one.tries + 1} times") if isinstance(answer, Unfinished) else answer
            ANSWERS.labels(type(final).__name__).inc()
            if not one.done.done():
                one.done.set_result(Done(final, usd, trouble))
        line.waiting.extendleft(reversed(again))
        if any(isinstance(answer, Judged | Raised) for answer in answers):
            line.moved, line.deaths = time.monotonic(), 0

    def _after(self, line: _Line, warm: _Warm) -> None:
        """Keeps a sandbox warm, or ends it: it is dead, worn, or its place is another's turn."""
        if not warm.opened.cell.alive:
            line.deaths += 1
            line.not_before = time.monotonic() + self._terms.pause_s(line.deaths)
            self._retire(line, warm, "died")
        elif warm.calls >= self._terms.most_calls or warm.used - warm.born > self._terms.age_s:
            self._retire(line, warm, "worn")
        elif self._is_anothers_turn(line):
            self._retire(line, warm, "evicted")
        else:
            line.idle.append(warm)
        self._serve(line)

    def _is_anothers_turn(self, line: _Line) -> bool:
        """With all places taken, a scorer without any goes before one that has some."""
        return any(other is not line and other.cells == 0 and other.waiting for other in self._wanting)

    def _want(self, line: _Line) -> None:
        """Starts another sandbox for a line if it needs one and may have one."""
        now = time.monotonic()
        soonest = (
            line.not_before if line.cells == 0 else max(line.not_before, line.waiting[0].since + self._terms.patience_s)
        )
        if now < soonest:
            self._look_again(line, soonest - now)
        elif line.cells < self._terms.cells_of_one:
            self._wanting[line] = None
            self._start_next()

    def _look_again(self, line: _Line, after_s: float) -> None:
        def look() -> None:
            line.timer = None
            self._serve(line)

        if line.timer is None:
            line.timer = asyncio.get_running_loop().call_later(after_s, look)

    def _start_next(self) -> None:
        """Starts sandboxes for those whose turn it is, as long as there is room."""
        while not self._closed and (line := self._next()):
            if sum(one.cells for one in self._lines.values()) >= self._terms.cells:
                self._make_room()
                return
            del self._wanting[line]
            line.cells += 1
            self._run(self._start(line))

    def _next(self) -> _Line | None:
        for line in [line for line in self._wanting if not line.waiting]:
            del self._wanting[line]
        busy = {line: line.cells - len(line.idle) for line in self._lines.values()}
        free = self._terms.cells - sum(busy.values())
        by_project: Counter[str] = Counter()
        for line, count in busy.items():
            by_project[line.key.project] += count
        may = [line for line in self._wanting if may_take(busy[line], by_project[line.key.project], free)]
        return next_in_turn(may, busy, {line: by_project[line.key.project] for line in may})

    def _make_room(self) -> None:
        """Ends the sandbox that has been idle for longest; who waits for its place starts when it is gone."""
        idle = {(line.key, index): one.used for line in self._lines.values() for index, one in enumerate(line.idle)}
        found = least_recent(idle)
        if found is not None:
            line = self._lines[found[0]]
            self._retire(line, line.idle.pop(found[1]), "evicted")

    async def _start(self, line: _Line) -> None:
        began, warm = time.monotonic(), None
        try:
            opened = await self._open(line.key)
            warm = _Warm(opened, began, began)
            line.warm.add(warm)
            CELLS.inc()
            manifest = await opened.cell.manifest()
            if manifest.error:
                raise Permanent(f"the scorer cannot be made: {manifest.error}")
        except Exception as error:
            self._refuse(line, error)
            if warm is None:
                line.cells -= 1
            else:
                self._retire(line, warm, "not made")
            return
        warm.used = time.monotonic()
        START_SECONDS.observe(warm.used - began)
        STARTED.inc()
        line.idle.append(warm)
        self._serve(line)

    def _refuse(self, line: _Line, error: Exception) -> None:
        """Tells all who wait that there is no sandbox; the next one to come tries again, after a pause."""
        line.deaths += 1
        line.not_before = time.monotonic() + self._terms.pause_s(line.deaths)
        told = error if isinstance(error, Transient | Permanent) else Permanent(f"its sandbox does not start: {error}")
        log.warning("no sandbox", project=line.key.project, scorer=line.key.scorer, reason=str(told))
        while line.waiting:
            waiting = line.waiting.popleft()
            if not waiting.done.done():
                waiting.done.set_exception(told)

    def _retire(self, line: _Line, warm: _Warm, why: str) -> None:
        ENDED.labels(why).inc()
        CELLS.dec()
        line.warm.discard(warm)
        self._run(self._close(line, warm))

    async def _close(self, line: _Line, warm: _Warm) -> None:
        await warm.opened.close()
        line.cells -= 1
        self._start_next()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidy(self) -> None:
        """Ends what has been idle for long, and forgets scorers that nobody asks for."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            now = time.monotonic()
            for line in list(self._lines.values()):
                for warm in [one for one in line.idle if now - one.used > self._terms.idle_s]:
                    line.idle.remove(warm)
                    self._retire(line, warm, "idle")
                if not line.cells and not line.admitted and not line.gate and now - line.moved > self._terms.idle_s:
                    del self._lines[line.key]

    async def close(self) -> None:
        """Ends every sandbox, whatever it is doing."""
        self._closed = True
        for task in (*self._tasks, *filter(None, [self._tidying])):
            task.cancel()
        for line in self._lines.values():
            line.idle.clear()
            for warm in list(line.warm):
                self._retire(line, warm, "closed")
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
