"""The normaliser: raw OTLP of any dialect to trace chunks. The only place that walks attributes.

A span whose content may still come in log events goes to `vedette.span-contents`, where the job `complete` joins the two; everything
else goes on at once.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from prometheus_client import Counter

from schemas.codec import encode
from schemas.contents import ContentEvent, SpanContents
from schemas.example import Example
from schemas.ids import record_key
from schemas.otlp.canonical import Resource, canonical, resource
from schemas.otlp.content import content_events, told_in_logs
from schemas.otlp.context import inherit
from schemas.otlp.decode import decode, decode_logs
from schemas.otlp.evaluations import examples_of
from schemas.otlp.guard import NAME_LIMIT
from schemas.otlp.once import once
from schemas.otlp.raw import RawSpan
from schemas.otlp.tables import TABLES
from schemas.record import MAX_CHUNK_BYTES
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams import loop
from streams.records import Out, Received
from streams.settings import Settings

DROPPED = Counter("vedette_normalise_dropped_spans_total", "Spans left out by the normaliser", ["reason"])
UNKNOWN_DIALECT = "unknown_dialect"
LOG_EVENTS = Counter("vedette_normalise_log_events_total", "Log events that tell a span's content")
SPANS = Counter("vedette_normalise_spans_total", "Spans normalised, by dialect", ["dialect"])

_EVENT_BYTES = 64
"""What the ids and numbers of one content event take at most."""
_NAMES_BYTES = 24 * NAME_LIMIT
"""What the names, ids, numbers and lengths of one span take at most."""
_GROWTH = 8
"""No text of a chunk takes more than this many times the bytes that it was made from: `\\u0000` in JSON takes six for one."""
_EMPTY = {
    name: info.get_default(call_default_factory=True)
    for name, info in TraceChunk.model_fields.items()
    if not info.is_required()
}


def chunks(
    body: bytes,
    project: str,
    ingested_at: int,
    dropped: Tally[str] | None = None,
    waiting: set[tuple[str, str]] | None = None,
) -> list[TraceChunk]:
    """Returns an export as chunks of canonical spans, traces and spans in the order in which they came.

    Of several copies of one span only the newest is kept: the final one if it is there. Spans inherit their context from
    their ancestors in the same export. No chunk takes more than 4 MiB when encoded. `ingested_at` is in milliseconds.
    `dropped` learns how many spans were left out for which reason, `waiting` the trace and span ids of those whose content
    may still come in log events.

    Raises:
        Undecodable: the bytes are no export.
    """
    export = decode(body)
    if dropped is not None:
        dropped.update(export.dropped)
    resources = [resource(attributes) for attributes in export.resources]
    made = [_chunk(trace, resources, project, ingested_at, waiting) for trace in _by_trace(export.spans)]
    if _GROWTH * len(body) + _NAMES_BYTES * (len(export.spans) + 1) <= MAX_CHUNK_BYTES:
        return made
    return [part for chunk in made for part in split(chunk)]


def split(chunk: TraceChunk, limit: int = MAX_CHUNK_BYTES) -> Iterator[TraceChunk]:
    """Returns a chunk in parts whose records take at most `limit` bytes, spans in their order.

    A single span is never split: the canonical step keeps it well below the limit.
    """
    if len(chunk.spans) < 2 or at_most(chunk) <= limit or len(encode(chunk)) <= limit:
        yield chunk
        return
    middle = len(chunk.spans) // 2
    for half in (chunk.spans[:middle], chunk.spans[middle:]):
        yield from split(_with_spans(chunk, half), limit)


def at_most(chunk: TraceChunk) -> int:
    """Returns a number of bytes that the chunk's record does not exceed; far cheaper than encoding it."""
    characters = sum(len(key) + len(text) + 5 for attrs in chunk.resources for key, text in attrs.items())
    for span in chunk.spans:
        characters += len(span.input or "") + len(span.output or "") + len(span.events) + len(span.status_message)
        characters += sum(map(len, span.attrs)) + sum(map(len, span.attrs.values())) + 5 * len(span.attrs)
        characters += sum(map(len, span.tags)) + sum(map(len, span.cut))
    return 4 * characters + _NAMES_BYTES * (len(chunk.spans) + 1)


def _with_spans(chunk: TraceChunk, spans: Sequence[Span]) -> TraceChunk:
    """Returns the chunk with these of its spans, and with the resources that they need."""
    places = {old: new for new, old in enumerate(dict.fromkeys(span.resource for span in spans))}
    moved = (Span.trusted({**span.__dict__, "resource": places[span.resource]}) for span in spans)
    resources = tuple(chunk.resources[place] for place in places)
    return TraceChunk.trusted({**chunk.__dict__, "resources": resources, "spans": tuple(moved)})


def _by_trace(spans: Iterable[RawSpan]) -> Iterable[list[RawSpan]]:
    traces: dict[str, list[RawSpan]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return traces.values()


def _chunk(
    trace: Sequence[RawSpan],
    resources: Sequence[Resource],
    project: str,
    ingested_at: int,
    waiting: set[tuple[str, str]] | None,
) -> TraceChunk:
    places = {old: new for new, old in enumerate(dict.fromkeys(raw.resource for raw in trace))}
    spans = [canonical(raw, resources[raw.resource], places[raw.resource]) for raw in trace]
    if waiting is not None:
        waiting.update(
            (raw.trace_id, raw.span_id) for raw, span in zip(trace, spans, strict=True) if told_in_logs(raw, span)
        )
    return TraceChunk.trusted(
        {
            **_EMPTY,
            "project": project,
            "trace_id": trace[0].trace_id,
            "ingested_at": ingested_at,
            "resources": tuple([resources[place].attrs for place in places]),
            "spans": tuple(inherit(once(newest(spans), _of_clients(trace)))),
        }
    )


def _of_clients(trace: Sequence[RawSpan]) -> set[str]:
    return {raw.span_id for raw in trace if raw.scope in TABLES.client_scopes}


def newest(spans: Sequence[Span]) -> list[Span]:
    """Returns one copy of each span: a final one before partial ones, then the highest revision, then the first."""
    best: dict[str, Span] = {}
    for span in spans:
        held = best.get(span.span_id)
        if held is None or (span.partial, -span.revision) < (held.partial, -held.revision):
            best[span.span_id] = span
    return list(best.values())


def parted(chunk: TraceChunk, waiting: set[tuple[str, str]]) -> tuple[TraceChunk | None, TraceChunk | None]:
    """Returns the spans of a chunk that go on at once, and those that wait for their content."""
    if not waiting:
        return chunk, None
    waits = [span for span in chunk.spans if (chunk.trace_id, span.span_id) in waiting]
    goes = [span for span in chunk.spans if (chunk.trace_id, span.span_id) not in waiting]
    return _with_spans(chunk, goes) if goes else None, _with_spans(chunk, waits) if waits else None


def contents(body: bytes, project: str) -> list[SpanContents]:
    """Returns the content that an export of logs tells, by trace. No record takes more than 4 MiB when encoded.

    Raises:
        Undecodable: the bytes are no export of logs.
    """
    by_trace: dict[str, list[ContentEvent]] = {}
    for trace_id, event in content_events(decode_logs(body)):
        by_trace.setdefault(trace_id, []).append(event)
    return [
        SpanContents(project=project, trace_id=trace_id, events=tuple(part))
        for trace_id, events in by_trace.items()
        for part in _parts(events)
    ]


def _parts(events: Iterable[ContentEvent]) -> Iterator[list[ContentEvent]]:
    part: list[ContentEvent] = []
    room = MAX_CHUNK_BYTES
    for event in events:
        size = 4 * (len(event.input or "") + len(event.output or "")) + _EVENT_BYTES
        if part and size > room:
            yield part
            part, room = [], MAX_CHUNK_BYTES
        part.append(event)
        room -= size
    yield part


def normalised(batch: Sequence[Received], *, hold: bool = False) -> list[Out]:
    """Returns what the job writes for raw records, by trace: chunks, contents that log events tell, evaluations inside spans.

    `hold`: spans whose content may still come in log events go the way of the contents.

    A batch is counted once it is done: one that fails is handed over again in halves.

    Raises:
        Undecodable: a record is no export.
    """
    outs: list[Out] = []
    dropped: Tally[str] = Tally()
    dialects: Tally[str] = Tally()
    for received in batch:
        project = received.headers.get("vedette-project", b"default").decode()
        if received.topic is Topic.OTLP_LOGS:
            told = contents(received.value, project)
            LOG_EVENTS.inc(sum(len(one.events) for one in told))
            outs += [Out(Topic.SPAN_CONTENTS, record_key(project, one.trace_id), one) for one in told]
            continue
        waiting: set[tuple[str, str]] | None = set() if hold else None
        for chunk in chunks(received.value, project, received.ingested_at, dropped, waiting):
            dialects.update(span.dialect for span in chunk.spans)
            outs += _outs(chunk, waiting or set())
    for reason, spans in dropped.items():
        DROPPED.labels(reason).inc(spans)
    for dialect, spans in dialects.items():
        SPANS.labels(dialect or UNKNOWN_DIALECT).inc(spans)
    return outs


def _outs(chunk: TraceChunk, waiting: set[tuple[str, str]]) -> Iterator[Out]:
    key = record_key(chunk.project, chunk.trace_id)
    goes, waits = parted(chunk, waiting)
    if goes is not None:
        yield Out(Topic.SPANS, key, goes)
    if waits is not None:
        held = SpanContents(project=chunk.project, trace_id=chunk.trace_id, waiting=waits)
        yield Out(Topic.SPAN_CONTENTS, key, held)
    for example in examples_of(chunk):
        yield Out(Topic.EXAMPLES, key, example)


def main(settings: Settings) -> None:
    """Runs the normaliser: `otlp_spans` to `vedette.spans`, `otlp_logs` and spans that wait for them to `vedette.span-contents`.

    Evaluations inside spans go to `vedette.examples`.
    """
    handle = partial(normalised, hold=settings.content_wait_s > 0)
    reads = {Topic.OTLP_SPANS: None, Topic.OTLP_LOGS: None}
    loop.run(loop.Loop("normalise", settings, reads, handle, writes=(TraceChunk, SpanContents, Example)))
