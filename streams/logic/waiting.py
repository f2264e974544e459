"""Who waits in one partition of `vedette.score-later`: a fold over its records, and whose turn it is. All pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple, TypeVar

from schemas.later import LaterRequest
from streams.logic.configuration import Configuration, Versioned
from streams.logic.later import End, GiveUp, Release, Terms, end_of_wait, first_version

K = TypeVar("K")

SCORERS_OF_A_PROJECT = 3
"""So many times the limit of one scorer may wait for all scorers of a project: names that nobody gave must not fill the memory."""
QUIET_MS = 10_000
"""A partition of which nothing came for so long is read to its end, even if its last records cannot be read."""

WaitsFor = Literal["scorer", "retry"]
Place = tuple[str, str, WaitsFor]
"""Project, scorer, and whether it is there already."""


class Wish(NamedTuple):
    """What somebody waits for; those who wait for the same share one."""

    place: Place
    version: str
    """The one that is named; empty: the first that appears."""


class Waiter(NamedTuple):
    """One pair that waits. Its payload stays on the topic, at `offset`."""

    offset: int
    wish: Wish
    ingested_at: int
    due_at: int
    """0: when the scorer exists."""
    give_up_at: int
    refused: bool
    """Too many waited before it."""


class Ended(NamedTuple):
    """A pair whose wait ends, and how."""

    later_id: str
    waiter: Waiter
    end: End


class Pace:
    """So many releases a second for each project: a flood that is let go holds up nobody."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._used: dict[str, tuple[float, int]] = {}

    def room(self, project: str, now_ms: int) -> bool:
        """Tells whether a project may have another one now."""
        return self._level(project, now_ms) <= self._per_second - 1

    def spend(self, project: str, now_ms: int) -> None:
        """Notes one."""
        self._used[project] = (self._level(project, now_ms) + 1, now_ms)

    def _level(self, project: str, now_ms: int) -> float:
        level, at = self._used.get(project, (0.0, now_ms))
        return max(level - max(now_ms - at, 0) / 1000 * self._per_second, 0.0)


@dataclass
class WaitingRoom:
    """Everybody who waits in one partition: the fold of its records in the order of the log, and nothing else.

    It begins at an offset before which everybody's wait had ended, and lets nobody go before it has read what stood on the partition
    when it came to its owner, up to `stop`: the marker of an end may be there.
    """

    terms: Terms
    stop: int
    touched_at: int
    """When it last took a record, or began."""
    read_to: int = 0
    """The offset after the newest record in it."""
    waiters: dict[str, Waiter] = field(default_factory=dict)
    """By id, in the order of their offsets."""
    count: Counter[Place] = field(default_factory=Counter)
    by_project: Counter[str] = field(default_factory=Counter)
    _told: set[str] = field(default_factory=set)
    """Those who were let go and whose marker has not come back yet."""
    _turns: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """By project, a heap: when to look at whom. An entry too many does no harm: `_end` decides."""
    _wishes: dict[Wish, tuple[Wish, set[str]]] = field(default_factory=dict)
    """Each wish as it is shared, and who was not called yet."""
    _new: set[Wish] = field(default_factory=set)
    """Those that somebody came with since they were last looked up."""
    _revision: int = -1

    def is_live(self, now_ms: int) -> bool:
        """Tells whether everything was read that stood on the partition when it came."""
        return self.read_to >= self.stop or now_ms - self.touched_at > QUIET_MS

    def fold(self, later: LaterRequest, offset: int, now_ms: int) -> None:
        """Takes one record: somebody who comes, or the marker of somebody who has left.

        Raises:
            ValueError: it carries no request of one pair; nothing is changed.

        """
        if later.state == "waiting":
            self._come(later, offset)
        else:
            self._leave(later.later_id)
        self.read_to, self.touched_at = offset + 1, now_ms

    def held(self) -> int | None:
        """Returns the offset of the first record that is still needed; None: none is."""
        return next((waiter.offset for waiter in self.waiters.values()), None)

    def due(self, configuration: Configuration, pace: Pace, now_ms: int) -> Iterator[Ended]:
        """Yields whose wait ends now, one of each project in turn and each project as fast as its pace allows; each is yielded once."""
        self._call(configuration)
        projects = list(self._turns)
        while projects:
            for project in list(projects):
                ended = self._next(project, configuration, now_ms) if pace.room(project, now_ms) else None
                if ended is None:
                    projects.remove(project)
                    continue
                if isinstance(ended.end, Release):
                    pace.spend(project, now_ms)
                yield ended

    def again(self, ended: Ended, at_ms: int) -> None:
        """Takes somebody back who could not be let go: their turn comes again."""
        self._told.discard(ended.later_id)
        self._turn(ended.later_id, ended.waiter, at_ms)

    def _come(self, later: LaterRequest, offset: int) -> None:
        request, pair, _ = later.asked
        identity = later.later_id
        if identity in self.waiters:
            return
        place: Place = (later.project, later.scorer, "retry" if later.due_at else "scorer")
        most = self.terms.most
        refused = self.count[place] >= most or self.by_project[later.project] >= SCORERS_OF_A_PROJECT * most
        wish, waiting = self._wishes.setdefault(Wish(place, pair.version), (Wish(place, pair.version), set()))
        waiter = Waiter(offset, wish, request.ingested_at, later.due_at, later.give_up_at, refused)
        self.waiters[identity] = waiter
        self.count[place] += 1
        self.by_project[later.project] += 1
        waiting.add(identity)
        self._turn(identity, waiter, 0 if refused else later.due_at or later.give_up_at + 1)
        if not later.due_at:
            self._new.add(wish)

    def _leave(self, identity: str) -> None:
        self._told.discard(identity)
        waiter = self.waiters.pop(identity, None)
        if waiter is None:
            return
        _less(self.count, waiter.wish.place)
        _less(self.by_project, waiter.wish.place[0])
        self._forget(waiter.wish, {identity})

    def _forget(self, wish: Wish, gone: set[str]) -> None:
        waiting = self._wishes[wish][1] if wish in self._wishes else set()
        waiting -= gone
        if not waiting:
            self._wishes.pop(wish, None)
            self._new.discard(wish)

    def _turn(self, identity: str, waiter: Waiter, at_ms: int) -> None:
        heappush(self._turns.setdefault(waiter.wish.place[0], []), (at_ms, identity))

    def _call(self, configuration: Configuration) -> None:
        """Calls those whose scorer has come; only what is new is looked up, be it scorers or those who wait for them."""
        wishes = list(self._wishes) if configuration.revision != self._revision else list(self._new)
        self._revision = configuration.revision
        self._new.clear()
        for wish in wishes:
            project, scorer, waits_for = wish.place
            if waits_for == "scorer" and configuration.history("Scorer", project, scorer):
                self._call_each(wish, configuration)

    def _call_each(self, wish: Wish, configuration: Configuration) -> None:
        called: set[str] = set()
        for identity in self._wishes[wish][1]:
            waiter = self.waiters[identity]
            found = _found(waiter, configuration)
            if found is not None:
                called.add(identity)
                self._turn(identity, waiter, found.effective_at)
        self._forget(wish, called)

    def _next(self, project: str, configuration: Configuration, now_ms: int) -> Ended | None:
        turns = self._turns.pop(project, [])
        ended = None
        while ended is None and turns and turns[0][0] <= now_ms:
            _, identity = heappop(turns)
            waiter = self.waiters.get(identity)
            end = _end(waiter, self.terms, configuration, now_ms) if waiter and identity not in self._told else None
            if waiter and end:
                self._told.add(identity)
                ended = Ended(identity, waiter, end)
        if turns:  # at the end of the round
            self._turns[project] = turns
        return ended


def _end(waiter: Waiter, terms: Terms, configuration: Configuration, now_ms: int) -> End | None:
    if waiter.refused:
        return _too_many(terms)
    if waiter.due_at:
        return Release() if waiter.due_at <= now_ms else None
    found = _found(waiter, configuration)
    return end_of_wait(found, waiter.give_up_at, now_ms, waiter.wish.place[1], waiter.wish.version)


def _found(waiter: Waiter, configuration: Configuration) -> Versioned | None:
    project, scorer, _ = waiter.wish.place
    return first_version(configuration, project, scorer, waiter.wish.version, waiter.ingested_at)


def _too_many(terms: Terms) -> GiveUp:
    limits = f"{terms.most:,} for one scorer, {SCORERS_OF_A_PROJECT * terms.most:,} for all of a project"
    return GiveUp(f"too many wait already ({limits}): send less, or raise VEDETTE_LATER_MOST")


def _less(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
