"""Puts traces together: whole ones for scorers that judge them, and the context that spans have from their ancestors.

A fold over `vedette.span-contents`, in the order of the log. Time is the append time of what is read, in milliseconds, so that whoever
reads the same records again decides the same.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from schemas.otlp.context import context_of
from schemas.score import Score
from schemas.span import Span, SpanContext, TraceChunk
from streams.logic.context import enriched, settled
from streams.logic.part import Decided, Made, Part, Undecided, Whole
from streams.logic.whole_trace import shortened

ONE_RESOURCE_MS = 2_000
"""A trace is quiet when nothing came for so long, if one process sent it all."""
MORE_RESOURCES_MS = 7_000
"""And if several did: exporters wait for 5 s."""

LIFE_MS = 6 * 3_600_000
"""One that goes on for longer is begun anew, so that a restart need not read more."""
MOST_CHARACTERS = 16 * 1024 * 1024
"""Of one partition, all texts together."""
ENTRY_CHARACTERS = 300
"""What a span or a trace takes besides its texts."""

RESPONSE_ID = "gen_ai.response.id"
"""Tells two reports of one call."""

Key = tuple[str, str]
"""Project and trace."""


class Phase(Enum):
    """What is waited for; where memory is short, what stands first goes first."""

    OVER = "over"
    """Nothing: what comes late still belongs to it."""
    OPEN = "open"
    """The root, a parent, an ancestor's context."""
    QUIET = "quiet"
    """That nothing more comes from its one process."""
    LONG_QUIET = "long quiet"
    """That nothing more comes from its processes."""


@dataclass
class Trace:
    """What is known of one trace."""

    since: int
    """Offset of the first record that told of it."""
    ends: int
    """When it is begun anew."""
    context: dict[str, SpanContext] = field(default_factory=dict)
    undecided: list[Undecided] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)
    has_root: bool = False
    absent: set[str] = field(default_factory=set)
    """Spans that are named as a parent, or wait for their content, and did not come."""
    resources: set[frozenset[tuple[str, str]]] = field(default_factory=set)
    newest: TraceChunk | None = None
    """The chunk that came last of it, without its spans."""
    ingested_at: int = 0
    """The latest of its spans', as of the first time that it was judged."""
    is_new: bool = False
    """Something came since it was judged."""
    judged: int = 0
    phase: Phase = Phase.OPEN
    until: int = 0
    characters: int = ENTRY_CHARACTERS


@dataclass
class Assembly:
    """The traces of one partition. One of which nothing comes for `idle_ms` is over, complete or not, and `idle_ms` later forgotten."""

    idle_ms: int
    most_characters: int = MOST_CHARACTERS
    counted: Counter[str] = field(default_factory=Counter)
    """What became of traces, spans and scores since the caller last looked."""

    def __post_init__(self) -> None:
        self._traces: OrderedDict[Key, Trace] = OrderedDict()
        self._phases: dict[Phase, OrderedDict[Key, Trace]] = {phase: OrderedDict() for phase in Phase}
        self._lasts = {
            Phase.OVER: self.idle_ms,
            Phase.OPEN: self.idle_ms,
            Phase.QUIET: ONE_RESOURCE_MS,
            Phase.LONG_QUIET: MORE_RESOURCES_MS,
        }
        self._characters = 0
        self._now = 0

    def __len__(self) -> int:
        """Returns the number of traces of which something is kept."""
        return len(self._traces)

    @property
    def since(self) -> int | None:
        """The offset from which the log has to be read to know again what is known now; None: from here on."""
        return next(iter(self._traces.values())).since if self._traces else None

    def take(self, part: Part, now: int, offset: int) -> list[Made]:
        """Folds one record in and returns what can go on."""
        made = self.pass_time(now)
        key = (part.project, part.trace_id)
        trace = self._traces.get(key)
        if trace is None:
            trace = self._traces[key] = Trace(offset, self._now + max(LIFE_MS, self.idle_ms))
            self._characters += trace.characters
        before = trace.characters
        is_news = self._take_spans(trace, part)
        for one in part.context:
            is_news |= self._take_context(trace, one)
        new = [one for one in part.undecided if one not in trace.undecided]
        trace.undecided += new
        trace.characters += sum(map(_size, new))
        made += self._decide(trace)
        self._characters += trace.characters - before
        if is_news or key not in self._phases[trace.phase] or trace.undecided:
            self._move(key, trace, _phase_of(trace))
        return [*made, *self._relieve()]

    def pass_time(self, now: int) -> list[Made]:
        """Returns the traces that are complete, or that were waited for long enough, and what waited for them; forgets what is over."""
        self._now = max(self._now, now)
        made: list[Made] = []
        for phase, traces in self._phases.items():
            while traces and (oldest := next(iter(traces.items())))[1].until <= self._now:
                key, trace = oldest
                if phase is Phase.OVER:
                    self._forget(key, trace)
                    continue
                if phase is Phase.OPEN:
                    made += self._end(trace, "without its root or a parent")
                else:
                    made += self._judge(trace, "complete")
                self._move(key, trace, _phase_of(trace))
        while self._traces and (first := next(iter(self._traces.items())))[1].ends <= self._now:
            made += self._end(first[1], "too long")
            self._forget(*first)
        return made

    def _take_spans(self, trace: Trace, part: Part) -> bool:
        is_news = False
        for span_id in part.expected:
            if span_id not in trace.spans and span_id not in trace.absent:
                trace.absent.add(span_id)
                is_news = True
        for span in part.whole.spans if part.whole else ():
            if not span.partial:
                is_news |= self._take_span(trace, span)
        if part.whole and is_news:
            chunk = part.whole
            trace.newest = TraceChunk.trusted({**chunk.__dict__, "spans": (), "resources": ()})
            trace.resources |= {frozenset(resource.items()) for resource in chunk.resources}
            if not trace.judged:
                trace.ingested_at = max(trace.ingested_at, chunk.ingested_at)
        return is_news

    def _take_span(self, trace: Trace, span: Span) -> bool:
        known = trace.spans.get(span.span_id)
        if known is not None and known.revision >= span.revision:
            return False  # sent again
        kept = trace.spans[span.span_id] = _kept(span)
        trace.characters += _texts(kept) + ENTRY_CHARACTERS
        trace.absent.discard(span.span_id)
        trace.has_root |= not span.parent_span_id
        if span.parent_span_id and span.parent_span_id not in trace.spans:
            trace.absent.add(span.parent_span_id)
        self._take_context(trace, context_of(span))
        trace.is_new = True
        return True

    def _take_context(self, trace: Trace, context: SpanContext) -> bool:
        if trace.context.get(context.span_id) == context:
            return False
        trace.context[context.span_id] = context
        trace.characters += ENTRY_CHARACTERS
        return True

    def _decide(self, trace: Trace) -> Iterator[Made]:
        """What waited and need wait no longer."""
        left = []
        for one in trace.undecided:
            found, is_settled = settled(one.span_id, trace.context, one.lacks)
            if not is_settled:
                left.append(one)
                continue
            self.counted["context known"] += 1
            trace.characters -= _size(one)
            yield Decided(one.what, _with_context(one.what, found))
        trace.undecided = left

    def _end(self, trace: Trace, why: str) -> Iterator[Made]:
        """What there is of a trace is what there will be."""
        before = trace.characters
        for one in trace.undecided:
            self.counted["context missed"] += 1
            trace.characters -= _size(one)
            yield Decided(one.what, _with_context(one.what, settled(one.span_id, trace.context, ())[0]))
        trace.undecided = []
        self._characters += trace.characters - before
        yield from self._judge(trace, why)

    def _judge(self, trace: Trace, why: str) -> Iterator[Made]:
        """The trace as it is, if it was not judged as such."""
        if trace.is_new and trace.newest is not None:
            trace.is_new = False
            self.counted[why if not trace.judged else "judged again"] += 1
            values = {**trace.newest.__dict__, "ingested_at": trace.ingested_at, "spans": tuple(trace.spans.values())}
            yield Whole(TraceChunk.trusted(values), trace.judged)
            trace.judged += 1

    def _relieve(self) -> Iterator[Made]:
        """Memory stays bounded: the oldest of what is over goes first; what still waits goes on early."""
        while self._characters > self.most_characters and self._traces:
            key, trace = next(next(iter(traces.items())) for traces in self._phases.values() if traces)
            yield from self._end(trace, "too much")
            self._forget(key, trace)

    def _move(self, key: Key, trace: Trace, phase: Phase) -> None:
        self._phases[trace.phase].pop(key, None)
        trace.phase, trace.until = phase, self._now + self._lasts[phase]
        self._phases[phase][key] = trace

    def _forget(self, key: Key, trace: Trace) -> None:
        del self._phases[trace.phase][key], self._traces[key]
        self._characters -= trace.characters


def _phase_of(trace: Trace) -> Phase:
    """What has to be waited for."""
    if not trace.is_new:
        return Phase.OPEN if trace.undecided else Phase.OVER
    if trace.absent or not trace.has_root:
        return Phase.OPEN
    return Phase.QUIET if len(trace.resources) == 1 else Phase.LONG_QUIET


def _kept(span: Span) -> Span:
    """A span as it is needed in the whole; only the root keeps its long texts and attributes."""
    if not span.parent_span_id:
        return span
    attrs = {RESPONSE_ID: span.attrs[RESPONSE_ID]} if RESPONSE_ID in span.attrs else {}
    texts = {"input": shortened(span.input), "output": shortened(span.output)}
    return Span.trusted({**span.__dict__, "attrs": attrs, "events": "", **texts})


def _with_context(what: TraceChunk | Score, context: SpanContext) -> TraceChunk | Score:
    if isinstance(what, Score):
        return enriched(what, context)
    return TraceChunk.trusted({**what.__dict__, "spans": (enriched(what.spans[0], context),)})


def _size(undecided: Undecided) -> int:
    what = undecided.what
    return ENTRY_CHARACTERS + (len(what.reason) if isinstance(what, Score) else _texts(what.spans[0]))


def _texts(span: Span) -> int:
    texts = (*span.attrs.values(), span.events, span.status_message, span.input or "", span.output or "")
    return sum(map(len, texts))
