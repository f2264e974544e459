"""Acks of Faust's events in offset order; a record that the broker refuses ends the process."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import structlog
from faust.types import TP, EventT

from streams.logic.offsets import InFlight, OffsetTracker

log = structlog.get_logger()

RESTART = 70
"""Exit code of a job that must start again from its last commit."""


class Acks:
    """Acks events in offset order per partition, each when everything it caused is acknowledged."""

    def __init__(self, most: int = 2000) -> None:
        self._trackers: dict[TP, OffsetTracker[EventT]] = defaultdict(OffsetTracker)
        self._room = asyncio.Semaphore(most)
        self.finished = 0

    async def start(self, event: EventT) -> InFlight[EventT]:
        """Notes an event; waits while too many are in flight."""
        await self._room.acquire()
        return self._trackers[event.message.tp].start(event)

    def when(self, entry: InFlight[EventT], futures: Iterable["asyncio.Future[Any]"]) -> None:
        """Acks the event once these futures are done; returns at once."""
        tracker, waiting = self._trackers[entry.event.message.tp], list(futures)
        tracker.more(entry, len(waiting))
        for future in waiting:
            future.add_done_callback(lambda done: self._done(tracker, entry, done))
        self._done(tracker, entry, None)

    def _done(
        self, tracker: OffsetTracker[EventT], entry: InFlight[EventT], future: "asyncio.Future[Any] | None"
    ) -> None:
        if future is not None and (future.cancelled() or future.exception()):
            log.critical("a record was not acknowledged", topic=entry.event.message.topic)
            os._exit(RESTART)
        if entry.pending == 1:
            self._room.release()
        for event in tracker.done(entry):
            event.ack()
            self.finished += 1

    def forget(self, revoked: Iterable[TP]) -> None:
        """Drops the order of partitions that are not ours any more; their new owner repeats what was not committed."""
        for tp in revoked:
            self._trackers.pop(tp, None)
