"""Joins spans with what log events say about them: a fold over `vedette.span-contents`, in the order of the log.

Time is the append time of what is read, in milliseconds, so that whoever reads the same records again decides the same.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import orjson

from schemas.contents import ContentEvent, SpanContents
from schemas.otlp.cut import TEXT_LIMIT, cut_text
from schemas.span import Span, TraceChunk

CALL_MS = 10 * 60_000
"""So long a call to a model may take: its questions are told when it begins, its span when it ends."""
AFTER_MS = 60_000
"""So long after a span was handed on, or its answer was told, the rest is still taken; never shorter than spans wait."""

MOST_ENTRIES = 5_000
MOST_CHARACTERS = 16 * 1024 * 1024
"""Of one partition, all texts together."""

FINISH_REASONS = "gen_ai.response.finish_reasons"

Key = tuple[str, str, str]
"""Project, trace and span."""


class Phase(Enum):
    """What is waited for; where memory is short, what stands first goes first."""

    OVER = "over"
    """Nothing: what comes still belongs to it."""
    CALL = "call"
    """The span, while the call goes on."""
    CONTENT = "content"
    """The content: the span is here."""


@dataclass
class Entry:
    """What is known of one span."""

    since: int
    """Offset of the first record that told of it."""
    waiting: TraceChunk | None = None
    """The span, alone in its chunk."""
    events: dict[ContentEvent, None] = field(default_factory=dict)
    handed_on: bool = False
    phase: Phase = Phase.CALL
    until: int = 0
    characters: int = 0


@dataclass
class Join:
    """The spans and contents of one partition. A span waits at most `wait_ms` for its content."""

    wait_ms: int
    most_entries: int = MOST_ENTRIES
    most_characters: int = MOST_CHARACTERS
    counted: Counter[str] = field(default_factory=Counter)
    """What became of spans and events since the caller last looked."""

    def __post_init__(self) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._phases: dict[Phase, OrderedDict[Key, Entry]] = {phase: OrderedDict() for phase in Phase}
        self._lasts = {Phase.OVER: max(AFTER_MS, self.wait_ms), Phase.CALL: CALL_MS, Phase.CONTENT: self.wait_ms}
        self._characters = 0
        self._now = 0
        self._offset = 0

    def __len__(self) -> int:
        """Returns the number of spans of which something is kept."""
        return len(self._entries)

    @property
    def since(self) -> int | None:
        """The offset from which the log has to be read to know again what is known now; None: from here on."""
        return next(iter(self._entries.values())).since if self._entries else None

    def take(self, contents: SpanContents, now: int, offset: int) -> list[TraceChunk]:
        """Folds one record in and returns the spans that go on, each in a chunk of its own."""
        made = self.pass_time(now)
        self._offset = offset
        if contents.waiting is not None:
            for index in range(len(contents.waiting.spans)):
                made += self._take_span(_alone(contents.waiting, index))
        by_span: dict[str, list[ContentEvent]] = {}
        for event in contents.events:
            by_span.setdefault(event.span_id, []).append(event)
        for span_id, events in by_span.items():
            made += self._take_events((contents.project, contents.trace_id, span_id), events)
        return [*made, *self._relieve()]

    def pass_time(self, now: int) -> list[TraceChunk]:
        """Returns the spans that have waited long enough, and forgets what is over."""
        self._now = max(self._now, now)
        made: list[TraceChunk] = []
        for phase, entries in self._phases.items():
            while entries and (oldest := next(iter(entries.items())))[1].until <= self._now:
                if phase is Phase.CONTENT:
                    made.append(self._hand_on(*oldest, "in part" if oldest[1].events else "without content"))
                else:
                    self._forget(*oldest)
        return made

    def _take_span(self, chunk: TraceChunk) -> list[TraceChunk]:
        key = (chunk.project, chunk.trace_id, chunk.spans[0].span_id)
        entry = self._entries.setdefault(key, Entry(self._offset))
        if entry.waiting is not None:
            return []  # sent again by the exporter
        entry.waiting = chunk
        self._grow(entry, _size(chunk))
        if _is_whole(entry):
            return [self._hand_on(key, entry, "joined")]
        self._move(key, entry, Phase.CONTENT)
        return []

    def _take_events(self, key: Key, events: list[ContentEvent]) -> list[TraceChunk]:
        entry = self._entries.setdefault(key, Entry(self._offset))
        new = [event for event in events if event not in entry.events]
        entry.events |= dict.fromkeys(new)
        self._grow(entry, sum(len(event.input or "") + len(event.output or "") for event in new))
        if entry.waiting is None:
            answered = any(event.whole or event.output is not None for event in entry.events)
            self._move(key, entry, Phase.OVER if answered else Phase.CALL)
        elif entry.handed_on and any(not event.silent for event in new):
            self.counted["amended"] += 1
            return [_told(entry, amends=True)]
        elif not entry.handed_on and _is_whole(entry):
            return [self._hand_on(key, entry, "joined")]
        return []

    def _hand_on(self, key: Key, entry: Entry, why: str) -> TraceChunk:
        entry.handed_on = True
        self.counted[why] += 1
        self._move(key, entry, Phase.OVER)
        return _told(entry)

    def _relieve(self) -> Iterator[TraceChunk]:
        """Memory stays bounded: the oldest of what is over goes first, of what waits last."""
        while len(self._entries) > self.most_entries or self._characters > self.most_characters:
            key, entry = next(next(iter(entries.items())) for entries in self._phases.values() if entries)
            if entry.phase is Phase.CONTENT:
                yield self._hand_on(key, entry, "too much")
            self._forget(key, entry)

    def _forget(self, key: Key, entry: Entry) -> None:
        if entry.waiting is None:
            self.counted["content without a span"] += len(entry.events)
        del self._phases[entry.phase][key], self._entries[key]
        self._characters -= entry.characters

    def _move(self, key: Key, entry: Entry, phase: Phase) -> None:
        self._phases[entry.phase].pop(key, None)
        entry.phase, entry.until = phase, self._now + self._lasts[phase]
        self._phases[phase][key] = entry

    def _grow(self, entry: Entry, characters: int) -> None:
        entry.characters += characters
        self._characters += characters


def _alone(chunk: TraceChunk, index: int) -> TraceChunk:
    span = chunk.spans[index]
    moved = Span.trusted({**span.__dict__, "resource": 0})
    return TraceChunk.trusted({**chunk.__dict__, "resources": (chunk.resources[span.resource],), "spans": (moved,)})


def _size(chunk: TraceChunk) -> int:
    span = chunk.spans[0]
    texts = (*span.attrs.values(), *chunk.resources[0].values(), span.events, span.status_message)
    return sum(map(len, texts))


def _is_whole(entry: Entry) -> bool:
    """Whether everything about the span was told: in one event, or by its questions and as many answers as it names."""
    if any(event.whole for event in entry.events):
        return True
    span = entry.waiting.spans[0] if entry.waiting else None
    asked = sum(event.input is not None for event in entry.events)
    answered = sum(event.output is not None for event in entry.events)
    return span is not None and asked > 0 and (answered >= _answers(span) or span.status == "error")


def _answers(span: Span) -> int:
    try:
        named = orjson.loads(span.attrs.get(FINISH_REASONS, ""))
    except orjson.JSONDecodeError:
        return 1
    return max(len(named), 1) if isinstance(named, list) else 1


def _told(entry: Entry, *, amends: bool = False) -> TraceChunk:
    """The span with what was told of it; the more was told, the higher its revision."""
    assert entry.waiting is not None  # noqa: S101 - only spans are handed on
    span = entry.waiting.spans[0]
    values = dict(span.__dict__)
    for name, text in _texts(entry.events):
        values[name], was_cut = cut_text(text, TEXT_LIMIT)
        values["cut"] += (name,) if was_cut else ()
    values["revision"] = span.revision + len(entry.events)
    return TraceChunk.trusted({**entry.waiting.__dict__, "amends": amends, "spans": (Span.trusted(values),)})


def _texts(events: dict[ContentEvent, None]) -> Iterator[tuple[str, str]]:
    ordered = sorted(events, key=lambda event: (event.time, event.position))
    for name in ("input", "output"):
        told = [(event, text) for event in ordered if (text := getattr(event, name)) is not None]
        whole = [text for event, text in told if event.whole]
        if whole:
            yield name, whole[-1]
        elif any(not event.silent for event, _ in told):
            yield name, f"[{','.join(text for _, text in told)}]"
