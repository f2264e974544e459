"""The normaliser: raw OTLP of any dialect to trace chunks. The only place that walks attributes."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Counter

from schemas.codec import encode
from schemas.ids import record_key
from schemas.otlp.canonical import Resource, canonical, resource
from schemas.otlp.context import inherit
from schemas.otlp.decode import decode
from schemas.otlp.guard import NAME_LIMIT
from schemas.otlp.raw import RawSpan
from schemas.record import MAX_CHUNK_BYTES
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams import loop
from streams.records import Out, Received
from streams.settings import Settings

DROPPED = Counter("vedette_normalise_dropped_spans_total", "Spans left out by the normaliser", ["reason"])
UNKNOWN_DIALECT = "unknown_dialect"
SPANS = Counter("vedette_normalise_spans_total", "Spans normalised, by dialect", ["dialect"])

_NAMES_BYTES = 24 * NAME_LIMIT
"""What the names, ids, numbers and lengths of one span take at most."""


def chunks(body: bytes, project: str, ingested_at: int, dropped: Tally[str] | None = None) -> list[TraceChunk]:
    """Returns an export as chunks of canonical spans, traces and spans in the order in which they came.

    Of several copies of one span only the newest is kept: the final one if it is there. Spans inherit their context from
    their ancestors in the same export. No chunk takes more than 4 MiB when encoded. `ingested_at` is in milliseconds.
    `dropped` learns how many spans were left out for which reason.

    Raises:
        Undecodable: the bytes are no export.
    """
    export = decode(body)
    if dropped is not None:
        dropped.update(export.dropped)
    resources = [resource(attributes) for attributes in export.resources]
    made = (_chunk(trace, resources, project, ingested_at) for trace in _by_trace(export.spans))
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


def _chunk(trace: Sequence[RawSpan], resources: Sequence[Resource], project: str, ingested_at: int) -> TraceChunk:
    places = {old: new for new, old in enumerate(dict.fromkeys(raw.resource for raw in trace))}
    spans = [canonical(raw, resources[raw.resource], places[raw.resource]) for raw in trace]
    return TraceChunk(
        project=project,
        trace_id=trace[0].trace_id,
        ingested_at=ingested_at,
        resources=tuple(resources[place].attrs for place in places),
        spans=tuple(inherit(newest(spans))),
    )


def newest(spans: Sequence[Span]) -> list[Span]:
    """Returns one copy of each span: a final one before partial ones, then the highest revision, then the first."""
    best: dict[str, Span] = {}
    for span in spans:
        held = best.get(span.span_id)
        if held is None or (span.partial, -span.revision) < (held.partial, -held.revision):
            best[span.span_id] = span
    return list(best.values())


def normalised(batch: Sequence[Received]) -> list[Out]:
    """Returns what the job writes for raw records: their chunks, keyed by project and trace.

    A batch is counted once it is done: one that fails is handed over again in halves.

    Raises:
        Undecodable: a record is no export.
    """
    outs: list[Out] = []
    dropped: Tally[str] = Tally()
    dialects: Tally[str] = Tally()
    for received in batch:
        project = received.headers.get("vedette-project", b"default").decode()
        for chunk in chunks(received.value, project, received.ingested_at, dropped):
            dialects.update(span.dialect for span in chunk.spans)
            outs.append(Out(Topic.SPANS, record_key(project, chunk.trace_id), chunk))
    for reason, spans in dropped.items():
        DROPPED.labels(reason).inc(spans)
    for dialect, spans in dialects.items():
        SPANS.labels(dialect or UNKNOWN_DIALECT).inc(spans)
    return outs


def main(settings: Settings) -> None:
    """Runs the normaliser: `otlp_spans` to `vedette.spans`."""
    loop.run(loop.Loop("normalise", settings, {Topic.OTLP_SPANS: None}, normalised, writes=(TraceChunk,)))
