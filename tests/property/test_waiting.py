"""Whoever comes, whenever scorers appear and jobs die: each wait ends as the log alone decides."""

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.documents.scorer import ScorerSpec
from schemas.later import LaterRequest
from streams.logic.configuration import Configuration
from streams.logic.later import End, GiveUp, Release, Terms, await_scorer, try_again
from streams.logic.waiting import Ended, Pace, Waiter, WaitingRoom
from tests.support.records import entry, version_of
from tests.support.waits import asked

WAIT_MS = 30_000
SPECS = tuple(ScorerSpec(type="contains", threshold=t) for t in (0.1, 0.2))
SCORERS = ("a", "b")

comes = st.tuples(
    st.just("come"), st.integers(0, 9), st.sampled_from(("acme", "globex")), st.sampled_from(SCORERS),
    st.sampled_from(("", version_of(SPECS[0]))), st.booleans(),
)  # fmt: skip
appears = st.tuples(
    st.just("appear"), st.sampled_from(("acme", "globex")), st.sampled_from(SCORERS), st.sampled_from(SPECS), st.booleans()
)  # fmt: skip
passes = st.tuples(st.just("pass"), st.sampled_from((1, 700, 2_500, 12_000)))
others = st.tuples(st.sampled_from(("read", "due", "crash")))
steps = st.lists(st.one_of(comes, appears, passes, others), max_size=60)


@dataclass
class World:
    """A partition, a configuration, a clock, and a job that reads the one by the others."""

    log: list[LaterRequest] = field(default_factory=list)
    configuration: Configuration = field(default_factory=Configuration)
    now_ms: int = 100_000
    read_to: int = 0
    committed: int = 0
    crashed: bool = False
    markers: list[LaterRequest] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Let go since the job began, and not come again."""
    ends: dict[str, list[tuple[End, int]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.room = WaitingRoom(Terms(WAIT_MS), 0, self.now_ms)
        self.pace = Pace(1000)

    def come(self, number: int, project: str, scorer: str, version: str, retry: bool) -> None:
        request = asked(f"e{number}", self.now_ms - 10, project, scorer, version)
        if retry:
            later = try_again(request, request.pairs[0], "code", "busy", None, self.now_ms, Terms(WAIT_MS))
            assert isinstance(later, LaterRequest)
        else:
            later = await_scorer(request, request.pairs[0], Terms(WAIT_MS))
        self.log.append(later)

    def appear(self, project: str, scorer: str, spec: ScorerSpec, deleted: bool) -> None:
        self.configuration.apply(entry("Scorer", scorer, spec, project, deleted=deleted), self.now_ms)

    def read(self) -> None:
        for offset in range(self.read_to, len(self.log)):
            self.room.fold(self.log[offset], offset, self.now_ms)
            if self.log[offset].state != "waiting":
                self.gone.discard(self.log[offset].later_id)
        self.read_to = len(self.log)
        held = self.room.held()
        self.committed = self.read_to if held is None else held

    def due(self) -> None:
        self.log += self.markers
        self.markers = []
        if self.room.is_live(self.now_ms):
            self.markers = [self._end(ended) for ended in self.room.due(self.configuration, self.pace, self.now_ms)]
            assert self.gone == {name for name, waiter in self.room.waiters.items() if self._is_over(waiter)}

    def _is_over(self, waiter: Waiter) -> bool:
        end, at = expected(self.log[waiter.offset], self.configuration)
        return self.now_ms >= at if end else self.now_ms > at

    def _end(self, ended: Ended) -> LaterRequest:
        self.gone.add(ended.later_id)
        self.ends[ended.later_id].append((ended.end, self.now_ms))
        project, scorer, _ = ended.waiter.wish.place
        return LaterRequest(project=project, scorer=scorer, later_id=ended.later_id, state="released")

    def crash(self) -> None:
        self.crashed, self.markers, self.read_to, self.gone = True, [], self.committed, set()
        self.room = WaitingRoom(Terms(WAIT_MS), len(self.log), self.now_ms)


def expected(first: LaterRequest, configuration: Configuration) -> tuple[End | None, int]:
    """The end of a wait and its time by the plainest reading of the log; None: given up."""
    if first.due_at:
        return Release(), first.due_at
    request, pair, _ = first.asked
    for version in configuration.history("Scorer", first.project, first.scorer):
        fits = version.version == pair.version if pair.version else version.effective_at > request.ingested_at
        if fits and not version.deleted:
            return (
                (Release(version), version.effective_at)
                if version.effective_at <= first.give_up_at
                else (None, first.give_up_at)
            )
    return None, first.give_up_at


@settings(max_examples=300, deadline=None)
@given(steps)
def test_every_wait_ends_as_the_log_says_never_early_and_once_unless_the_job_died(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    for name, *arguments in steps:
        if name == "pass":
            world.now_ms += arguments[0]  # type: ignore[operator]
        else:
            getattr(world, str(name))(*arguments)
    for _ in range(3):
        world.now_ms += 1_000_000
        world.read()
        world.due()
    world.read()
    assert (world.room.held(), world.room.waiters, world.room.count, world.room.by_project) == (None, {}, {}, {})
    waits = {later.later_id: later for later in reversed(world.log) if later.state == "waiting"}
    assert world.ends.keys() == waits.keys()
    for identity, later in waits.items():
        end, not_before = expected(later, world.configuration)
        came = sum(one.later_id == identity and one.state == "waiting" for one in world.log)
        assert world.crashed or len(world.ends[identity]) <= came
        first, at = world.ends[identity][0]
        assert at >= not_before
        assert first == end if end else isinstance(first, GiveUp)
        if came == 1:
            assert {repr(each) for each, _ in world.ends[identity]} == {repr(first)}
