"""Who may wait in the pool: the places for calls are shared by `may_take`, among projects and the scorers of each."""

import asyncio
import time
from collections import Counter

from scorers.hosted.line import Line
from scorers.hosted.turns import Terms, may_take
from scorers.scorer import Transient

LOOK_EVERY_S = 0.5


class Admission:
    """The places of a pool: one for each call that waits or runs."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._of_project: Counter[str] = Counter()

    async def enter(self, line: Line) -> None:
        """Takes a place; waits for one while the scorer moves.

        Raises:
            Transient: the scorer is full and stands still.

        """
        while not self._has_place(line):
            if time.monotonic() - line.moved > self._terms.stands_s:
                raise Transient(f"{line.admitted} evaluations wait for the scorer, which answers too slowly", 30.0)
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.gate.append(gate)
            await asyncio.wait([gate], timeout=LOOK_EVERY_S)
            gate.cancel()  # who has left for another look is not called any more
        if line.admitted == 0:
            line.moved = time.monotonic()
        line.admitted += 1
        self._of_project[line.key.project] += 1

    def _has_place(self, line: Line) -> bool:
        free = self._terms.calls - self._of_project.total()
        return may_take(line.admitted, self._of_project[line.key.project], free)

    def leave(self, line: Line) -> None:
        """Gives a place back, and calls whoever waits for one of this scorer."""
        line.admitted -= 1
        self._of_project[line.key.project] -= 1
        while line.gate:
            gate = line.gate.popleft()
            if not gate.done():
                gate.set_result(None)
                return
