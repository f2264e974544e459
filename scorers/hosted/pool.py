"""Warm sandboxes for hosted scorers: each scorer version has a line of calls and some sandboxes that take batches from it.

Nobody waits for another's scorer. Calls that wait and sandboxes that run are shared by `may_take`; whoever finds a scorer full that
stands still is told so at once. A call whose sandbox ends through a neighbour is called again in a fresh one, alone if it is a suspect.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Gauge, Histogram

from scorers.hosted.admission import Admission
from scorers.hosted.channel import Call, Died
from scorers.hosted.line import Done, Key, Line, Opened, Waiting, Warm
from scorers.hosted.turns import Terms, least_recent, may_take, next_in_turn
from scorers.scorer import Permanent

log = structlog.get_logger()

TIDY_EVERY_S = 5.0

STARTED = Metric("vedette_cells_started_total", "Sandboxes started")
ENDED = Metric("vedette_cells_ended_total", "Sandboxes ended, by why", ["why"])
CELLS = Gauge("vedette_cells", "Sandboxes that run")
START_SECONDS = Histogram("vedette_cell_start_seconds", "From asking for a sandbox to its first word")


class Pool:
    """Judges calls in sandboxes that `open_cell` starts; its deadline counts from each example's own start."""

    def __init__(self, open_cell: Callable[[Key], Awaitable[Opened]], terms: Terms = Terms()) -> None:  # noqa: B008 - frozen
        self._open, self._terms = open_cell, terms
        self._lines: dict[Key, Line] = {}
        self._admission = Admission(terms)
        self._wanting: dict[Line, None] = {}
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
        await self._admission.enter(line)
        waiting = Waiting(call, asyncio.get_running_loop().create_future(), time.monotonic())
        line.waiting.append(waiting)
        if not line.is_due:
            line.is_due = True
            asyncio.get_running_loop().call_soon(self._serve, line)
        try:
            return await waiting.done
        finally:
            self._admission.leave(line)

    def _line(self, key: Key, deadline_s: float) -> Line:
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy())
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key, self._terms, deadline_s, time.monotonic())
        line.deadline_s = deadline_s  # of the newest document
        return line

    def _serve(self, line: Line) -> None:
        """Gives waiting calls to idle sandboxes, and starts one when there is none."""
        line.is_due = False
        while line.waiting and line.idle:
            self._run(self._batch(line, line.idle.pop(), line.batch()))
        if line.waiting:
            self._want(line)

    async def _batch(self, line: Line, warm: Warm, batch: list[Waiting]) -> None:
        began = time.monotonic()
        try:
            answers = await warm.opened.cell.call([one.call for one in batch], line.deadline_s)
        except Exception as error:  # it does not raise for what a scorer does
            log.exception("a sandbox cannot be called", scorer=line.key.scorer)
            answers = [Died(f"it cannot be called: {error}")] * len(batch)
        usd, trouble = warm.opened.spent()
        warm.used, warm.calls = time.monotonic(), warm.calls + len(batch)
        line.took((warm.used - began) / len(batch))
        line.settle(batch, answers, usd / len(batch), trouble)
        self._after(line, warm)

    def _after(self, line: Line, warm: Warm) -> None:
        """Keeps a sandbox warm, or ends it: it is dead, worn, or its place is another's turn."""
        if not warm.opened.cell.alive:
            line.died()
            self._retire(line, warm, "died")
        elif warm.calls >= self._terms.most_calls or warm.used - warm.born > self._terms.age_s:
            self._retire(line, warm, "worn")
        elif self._is_anothers_turn(line):
            self._retire(line, warm, "evicted")
        else:
            line.idle.append(warm)
        self._serve(line)

    def _is_anothers_turn(self, line: Line) -> bool:
        """With all places taken, a scorer without any goes before one that has some."""
        return any(other is not line and other.cells == 0 and other.waiting for other in self._wanting)

    def _want(self, line: Line) -> None:
        """Starts another sandbox for a line if it needs one and may have one."""
        now, soonest = time.monotonic(), line.soonest()
        if now < soonest:
            self._look_again(line, soonest - now)
        elif line.cells < self._terms.cells_of_one:
            self._wanting[line] = None
            self._start_next()

    def _look_again(self, line: Line, after_s: float) -> None:
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

    def _next(self) -> Line | None:
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

    async def _start(self, line: Line) -> None:
        began, warm = time.monotonic(), None
        try:
            opened = await self._open(line.key)
            warm = Warm(opened, began, began)
            line.warm.add(warm)
            CELLS.inc()
            manifest = await opened.cell.manifest()
            if manifest.error:
                raise Permanent(f"the scorer cannot be made: {manifest.error}")
        except Exception as error:
            line.refuse(error)
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

    def _retire(self, line: Line, warm: Warm, why: str) -> None:
        ENDED.labels(why).inc()
        CELLS.dec()
        line.warm.discard(warm)
        self._run(self._close(line, warm))

    async def _close(self, line: Line, warm: Warm) -> None:
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
