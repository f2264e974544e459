"""Traces put together: judged once whole, again when a late span makes them another, context as from the whole trace, restarts unseen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.otlp.context import context_of, inherit
from schemas.span import Span, TraceChunk
from streams.logic.assembly import MORE_RESOURCES_MS, ONE_RESOURCE_MS, Assembly
from streams.logic.part import Decided, Made, Part, Undecided, Whole

IDLE_MS = 60_000

Entry = tuple[int, Part | None]
"""Append time and part; None: a tick."""


def span(number: int, parent: int | None = None, **further: object) -> Span:
    above = "" if parent is None else f"{parent:016x}"
    return Span.model_validate({"span_id": f"{number:016x}", "parent_span_id": above, **further})


def chunk(trace: str, *spans: Span, service: str = "shop", at: int = 1) -> TraceChunk:
    resources = ({"service.name": service},)
    return TraceChunk(project="shop", trace_id=trace, ingested_at=at, resources=resources, spans=spans)


def whole(trace: str, *spans: Span, service: str = "shop", at: int = 1) -> Part:
    return Part("shop", trace, whole=chunk(trace, *spans, service=service, at=at))


def waiting(trace: str, one: Span, *lacks: str) -> Part:
    """A span that lacks context, and that tells what it has."""
    return Part("shop", trace, context=[context_of(one)], undecided=[Undecided(chunk(trace, one), one.span_id, lacks)])


Seen = tuple[str, int, int, frozenset[str]]
"""Trace, attempt, ingest time and ids of the spans of a trace that is judged."""


def judged(made: Iterable[Made]) -> list[Seen]:
    return [
        (one.chunk.trace_id, one.attempt, one.chunk.ingested_at, frozenset(s.span_id for s in one.chunk.spans))
        for one in made
        if isinstance(one, Whole)
    ]


def decided(made: Iterable[Made]) -> dict[tuple[str, str], Span]:
    found = {}
    for one in made:
        if isinstance(one, Decided):
            assert isinstance(one.after, TraceChunk)
            found[one.after.trace_id, one.after.spans[0].span_id] = one.after.spans[0]
    return found


@dataclass
class Reader:
    """Folds a log as the loop does: what was handled before a restart is folded again, and not written again."""

    log: Sequence[Entry]
    handled: int = 0
    written: list[Made] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.assembly = Assembly(IDLE_MS)

    def read(self, to: int | None = None) -> list[Made]:
        to = len(self.log) if to is None else to
        for offset in range(self.handled, to):
            self.written += self._fold(offset)
        self.handled = to
        return self.written

    def restart(self) -> None:
        since = self.handled if self.assembly.since is None else self.assembly.since
        self.assembly = Assembly(IDLE_MS)
        for offset in range(since, self.handled):
            self._fold(offset)

    def _fold(self, offset: int) -> list[Made]:
        at, part = self.log[offset]
        return self.assembly.pass_time(at) if part is None else self.assembly.take(part, at, offset)


@st.composite
def trees(draw: st.DrawFn) -> list[Span]:
    """The spans of one trace; context stands on some of them."""
    size = draw(st.integers(1, 7))
    context = st.fixed_dictionaries(
        {name: st.sampled_from(["", "", "a", "b"]) for name in ("agent", "session_id", "customer_id", "environment")}
    )
    return [
        span(number, None if number == 0 else draw(st.integers(0, number - 1)), **draw(context))
        for number in range(size)
    ]


@st.composite
def logs(draw: st.DrawFn) -> tuple[dict[str, list[Span]], list[Entry]]:
    """Whole traces, their spans in any order and some twice, within seconds of each other; ticks in between."""
    traces = {str(number): draw(trees()) for number in range(draw(st.integers(1, 4)))}
    entries: list[Entry] = [(at, None) for at in range(0, 400_000, 5_000)]
    for trace, spans in traces.items():
        at = draw(st.integers(0, 200_000))
        seen: set[int] = set()
        for place in draw(st.permutations([*range(len(spans)), *draw(st.lists(st.integers(0, len(spans) - 1)))])):
            at += 0 if place in seen else draw(st.integers(0, ONE_RESOURCE_MS - 1))
            seen.add(place)
            entries.append((at, whole(trace, spans[place], at=at)))
    return traces, sorted(entries, key=lambda entry: entry[0])


@settings(max_examples=80, deadline=None)
@given(logs(), st.lists(st.integers(0, 150), max_size=5))
def test_a_trace_is_judged_once_when_it_is_whole_and_restarts_change_nothing(
    given_log: tuple[dict[str, list[Span]], list[Entry]], restarts: list[int]
) -> None:
    traces, log = given_log
    reader = Reader(log)
    for to in sorted(restarts):
        reader.read(min(max(to, reader.handled), len(log)))
        reader.restart()
    found = judged(reader.read())
    newest: dict[str, dict[str, int]] = {}
    for _, part in log:
        for one in part.whole.spans if part and part.whole else ():
            newest.setdefault(part.trace_id, {}).setdefault(one.span_id, part.whole.ingested_at)  # type: ignore[union-attr]
    assert sorted(found, key=lambda seen: seen[0]) == [
        (trace, 0, max(newest[trace].values()), frozenset(s.span_id for s in spans)) for trace, spans in traces.items()
    ]
    assert reader.written == Reader(log).read()
    assert len(reader.assembly) == 0


@st.composite
def context_logs(draw: st.DrawFn) -> tuple[dict[str, list[Span]], list[Entry]]:
    traces = {str(number): draw(trees()) for number in range(draw(st.integers(1, 3)))}
    entries: list[Entry] = [(at, None) for at in range(0, 400_000, 5_000)]
    for trace, spans in traces.items():
        at = draw(st.integers(0, 200_000))
        for one in draw(st.permutations(spans)):
            at += draw(st.integers(0, IDLE_MS - 1))
            entries.append((at, waiting(trace, one, "agent", "session_id")))
    return traces, sorted(entries, key=lambda entry: entry[0])


@settings(max_examples=80, deadline=None)
@given(context_logs(), st.lists(st.integers(0, 150), max_size=5))
def test_whatever_the_order_a_span_gets_what_it_has_from_its_ancestors_in_the_whole_trace(
    given_log: tuple[dict[str, list[Span]], list[Entry]], restarts: list[int]
) -> None:
    traces, log = given_log
    reader = Reader(log)
    for to in sorted(restarts):
        reader.read(min(max(to, reader.handled), len(log)))
        reader.restart()
    found = decided(reader.read())
    for trace, spans in traces.items():
        for one in inherit(spans):
            got = found.pop((trace, one.span_id))
            assert (got.agent, got.session_id) == (one.agent, one.session_id)
    assert not found
    assert reader.written == Reader(log).read()


@settings(max_examples=50, deadline=None)
@given(logs(), st.integers(1_000, 3_000))
def test_in_little_memory_every_span_is_judged_in_some_part_of_its_trace(
    given_log: tuple[dict[str, list[Span]], list[Entry]], most: int
) -> None:
    traces, log = given_log
    assembly = Assembly(IDLE_MS, most_characters=most)
    seen: dict[str, set[str]] = {}
    for offset, (at, part) in enumerate(log):
        made = assembly.pass_time(at) if part is None else assembly.take(part, at, offset)
        for trace, _, _, ids in judged(made):
            seen.setdefault(trace, set()).update(ids)
    assert seen == {trace: {s.span_id for s in spans} for trace, spans in traces.items()}


# --- one by one -----------------------------------------------------------------------------------------------------


def read(*entries: Entry) -> Reader:
    reader = Reader(entries)
    reader.read()
    return reader


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(f"{number:016x}" for number in numbers)


def test_a_trace_of_one_process_is_whole_two_seconds_after_its_last_span() -> None:
    spans = [(0, whole("t", span(1, 0))), (500, whole("t", span(0)))]
    assert judged(read(*spans, (500 + ONE_RESOURCE_MS - 1, None)).written) == []
    assert judged(read(*spans, (500 + ONE_RESOURCE_MS, None)).written) == [("t", 0, 1, ids(0, 1))]


def test_a_trace_of_several_processes_has_seven_seconds() -> None:
    spans = [(0, whole("t", span(1, 0), service="kitchen")), (500, whole("t", span(0)))]
    assert judged(read(*spans, (500 + MORE_RESOURCES_MS - 1, None)).written) == []
    assert judged(read(*spans, (500 + MORE_RESOURCES_MS, None)).written) == [("t", 0, 1, ids(0, 1))]


def test_a_trace_without_its_root_or_a_parent_is_judged_when_its_time_is_over() -> None:
    for spans in ([span(1, 0)], [span(0), span(2, 1)]):
        entries: list[Entry] = [(0, whole("t", *spans)), (IDLE_MS - 1, None)]
        assert judged(read(*entries).written) == []
        reader = read(*entries, (IDLE_MS, None))
        assert judged(reader.written) == [("t", 0, 1, frozenset(s.span_id for s in spans))]
        assert reader.assembly.counted == {"without its root or a parent": 1}


def test_a_late_span_makes_a_new_attempt_at_the_time_of_the_first() -> None:
    late: list[Entry] = [
        (0, whole("t", span(0), at=5)),
        (3_000, None),
        (30_000, whole("t", span(1, 0), at=30_000)),
        (33_000, None),
    ]
    reader = read(*late)
    assert judged(reader.written) == [("t", 0, 5, ids(0)), ("t", 1, 5, ids(0, 1))]
    assert reader.assembly.counted == {"complete": 1, "judged again": 1}


def test_a_span_sent_again_changes_nothing_and_a_newer_revision_does() -> None:
    first: list[Entry] = [(0, whole("t", span(0))), (3_000, None), (4_000, whole("t", span(0))), (9_000, None)]
    assert len(judged(read(*first).written)) == 1
    assert len(judged(read(*first, (10_000, whole("t", span(0, revision=1))), (13_000, None)).written)) == 2


def test_partial_spans_are_never_part_of_a_trace() -> None:
    reader = read((0, whole("t", span(0, partial=True))), (IDLE_MS, None), (2 * IDLE_MS, None))
    assert reader.written == []


def test_a_trace_waits_for_spans_whose_content_is_awaited() -> None:
    expected = Part("shop", "t", expected=[f"{1:016x}"])
    for early in ([(0, expected), (1, whole("t", span(0)))], [(0, whole("t", span(0))), (1, expected)]):
        reader = read(*early, (10_000, None), (12_000, whole("t", span(1, 0))), (15_000, None))  # type: ignore[arg-type]
        assert judged(reader.written) == [("t", 0, 1, ids(0, 1))]


def test_what_lacks_context_goes_on_when_its_time_is_over_with_what_is_known() -> None:
    child = span(2, 1, agent="clerk")
    reader = read((0, waiting("t", child, "session_id")), (IDLE_MS, None))
    assert decided(reader.written) == {("t", child.span_id): child}
    assert reader.assembly.counted == {"context missed": 1}


def test_a_span_that_did_not_come_is_waited_for_though_the_trace_seems_whole() -> None:
    one = span(2, 0)
    unknown = Part("shop", "t", undecided=[Undecided(chunk("t", one), one.span_id, ("session_id",))])
    root = span(0, session_id="s-1")
    reader = read((0, unknown), (1, whole("t", root)), (5_000, None))
    assert (len(judged(reader.written)), decided(reader.written)) == (1, {})
    reader = read((0, unknown), (1, whole("t", root)), (5_000, None), (6_000, whole("t", one)))
    assert decided(reader.written)["t", one.span_id].session_id == "s-1"


def test_it_waits_no_longer_than_for_what_it_lacks() -> None:
    child, parent = span(2, 1), span(1, 0, session_id="s-1")
    reader = read((0, waiting("t", child, "session_id")), (1, Part("shop", "t", context=[context_of(parent)])))
    assert decided(reader.written)["t", child.span_id].session_id == "s-1"


def test_another_agents_span_takes_no_agent_and_a_cycle_ends_the_search() -> None:
    child, other = span(1, 0, agent_id="x"), span(0, agent="clerk", agent_id="y", session_id="s")
    reader = read((0, waiting("t", child, "agent")), (1, Part("shop", "t", context=[context_of(other)])))
    assert decided(reader.written)["t", child.span_id].agent == ""
    one, two = span(1, 2), span(2, 1)
    reader = read((0, waiting("t", one, "agent")), (1, Part("shop", "t", context=[context_of(two)])))
    assert decided(reader.written)["t", one.span_id].agent == ""


def test_what_is_known_is_forgotten_when_nothing_comes() -> None:
    reader = read((0, Part("shop", "t", context=[context_of(span(0))])), (IDLE_MS - 1, None))
    assert (len(reader.assembly), reader.assembly.since) == (1, 0)
    reader = read((0, Part("shop", "t", context=[context_of(span(0))])), (IDLE_MS, None))
    assert (len(reader.assembly), reader.assembly.since) == (0, None)
