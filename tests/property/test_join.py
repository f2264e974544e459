"""The join against a plain reading of the whole log: any order, copies, pauses and restarts lead to the same spans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contents import ContentEvent, SpanContents
from schemas.span import TraceChunk
from streams.logic.join import Join
from tests.support.contents import answered, asked, span_id, told, waiting

WAIT_MS = 10_000
LIFE_MS = 25_000
"""Within so long all that belongs to one span comes, copies included."""

Entry = tuple[int, SpanContents | None]
"""Append time and record; None: a tick."""
Released = tuple[str, bool, str | None, str | None, int]

WHOLE = [(asked, "a"), (asked, "b"), (answered, "c"), (answered, "d")]
"""What may be told of a span; an answer ends the wait once a question is there."""


def record_of(number: int, part: int) -> SpanContents:
    """The span itself, or one of its messages, sometimes without its text."""
    if part == len(WHOLE):
        return waiting(number)
    make, text = WHOLE[part]
    return told(make(number, text, time=part, silent=part == 1 and number % 3 == 0))


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    """A partition's log: spans spread over minutes, their records close together in any order, ticks in between."""
    entries: list[Entry] = [(at, None) for at in range(0, 240_000, 5_000)]
    for number in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, 180_000))
        parts = draw(st.lists(st.integers(0, len(WHOLE)), min_size=1, max_size=8))
        entries += [(begin + draw(st.integers(0, LIFE_MS)), record_of(number, part)) for part in parts]
    return sorted(entries, key=lambda entry: entry[0])


def seen(chunks: Iterable[TraceChunk]) -> list[Released]:
    return [(s.span_id, c.amends, s.input, s.output, s.revision) for c in chunks for s in c.spans]


# --- the oracle: one span at a time, the log read as a whole --------------------------------------------------------


def expected(log: Sequence[Entry], number: int) -> list[Released]:
    """What becomes of one span, told by the definition."""
    own, arrived, events, handed_on = span_id(number), None, list[ContentEvent](), False
    released: list[Released] = []

    def tell(*, amends: bool) -> None:
        texts = {side: _side(events, side) for side in ("input", "output")}
        released.append((own, amends, texts["input"], texts["output"], len(events)))

    for at, record in log:
        if arrived is not None and not handed_on and at >= arrived + WAIT_MS:
            handed_on = True
            tell(amends=False)
        if record is None:
            continue
        new = [event for event in record.events if event.span_id == own and event not in events]
        events += new
        if arrived is None and record.waiting is not None and record.waiting.spans[0].span_id == own:
            arrived = at
        if handed_on and any(not event.silent for event in new):
            tell(amends=True)
        if arrived is not None and not handed_on and _side_told(events, "input") and _side_told(events, "output"):
            handed_on = True
            tell(amends=False)
    return released


def _side_told(events: list[ContentEvent], side: str) -> bool:
    return any(getattr(event, side) is not None for event in events)


def _side(events: list[ContentEvent], side: str) -> str | None:
    told_of = [event for event in sorted(events, key=lambda event: event.time) if getattr(event, side) is not None]
    if all(event.silent for event in told_of):
        return None
    return "[" + ",".join(getattr(event, side) for event in told_of) + "]"


# --- the job, killed and started again ------------------------------------------------------------------------------


@dataclass
class Reader:
    """Reads a log by one join, as the loop does: what was handled before a restart is folded again and not written again."""

    log: Sequence[Entry]
    join: Join = field(default_factory=lambda: Join(WAIT_MS))
    handled: int = 0
    written: list[Released] = field(default_factory=list)

    def read(self, to: int) -> None:
        for offset in range(self.handled, to):
            self.written += seen(self._fold(self.join, offset))
        self.handled = to

    def restart(self) -> None:
        since = self.handled if self.join.since is None else self.join.since
        self.join = Join(WAIT_MS)
        for offset in range(since, self.handled):
            self._fold(self.join, offset)

    def _fold(self, join: Join, offset: int) -> list[TraceChunk]:
        at, record = self.log[offset]
        return join.pass_time(at) if record is None else join.take(record, at, offset)


def of_span(released: Iterable[Released], number: int) -> list[Released]:
    return [one for one in released if one[0] == span_id(number)]


@settings(max_examples=150, deadline=None)
@given(logs(), st.lists(st.integers(0, 400), max_size=6))
def test_any_order_copies_and_restarts_release_what_the_definition_says(log: list[Entry], restarts: list[int]) -> None:
    reader = Reader(log)
    for at in sorted(restarts):
        reader.read(min(max(at, reader.handled), len(log)))
        reader.restart()
    reader.read(len(log))
    for number in range(6):
        assert of_span(reader.written, number) == expected(log, number)


@settings(max_examples=100, deadline=None)
@given(logs(), st.integers(1, 4))
def test_in_little_memory_every_span_still_goes_on(log: list[Entry], most: int) -> None:
    join = Join(WAIT_MS, most_entries=most)
    released: list[str] = []
    for offset, (at, record) in enumerate(log):
        chunks = join.pass_time(at) if record is None else join.take(record, at, offset)
        released += [span for span, amends, *_ in seen(chunks) if not amends]
        assert len(join) <= most
    assert set(released) == {r.waiting.spans[0].span_id for _, r in log if r is not None and r.waiting is not None}
