"""What is asked of a chunk of spans by the scorers and rules in effect: at once, as a whole trace, or when context is known. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.contents import SpanContents
from schemas.documents.scorer import Online, ScorerSpec
from schemas.otlp.context import context_of
from schemas.span import Span, TraceChunk
from schemas.subject import Subject, subject_of_span
from streams.logic.conditions import lacking, passes
from streams.logic.configuration import Configuration, Versioned
from streams.logic.in_effect import Scorers, scorers
from streams.logic.matching import Index, index, matched
from streams.logic.sampling import keep


@dataclass(frozen=True)
class Plan:
    """The scorers and rules of a project that are in effect at a time, and what they need of traces."""

    scorers: Scorers
    rules: Index
    of_spans: bool
    """Some scorer judges spans by itself."""
    of_spans_by_context: Scorers
    """Those of them whose filter asks for what a span may have from its ancestors only."""
    of_traces: tuple[Online, ...]
    context: frozenset[str]
    """What some filter or group asks for and a span may have from its ancestors only."""


@dataclass(frozen=True)
class Chosen:
    """A scorer that judges a subject by itself, and why; `lacks`: only when it is known whether its span has these fields."""

    name: str
    version: Versioned
    spec: ScorerSpec
    online: Online
    lacks: tuple[str, ...] = ()


def plan(configuration: Configuration, project: str, at: int) -> Plan:
    """Returns what is in effect."""
    found, rules = scorers(configuration, project, at), index(configuration, project, at)
    online = [one for _, spec in found.values() if spec.enabled for one in spec.online]
    of_spans = [one for one in online if one.target == "span"]
    of_traces = tuple(one for one in online if one.target == "trace")
    by_context = {name: (version, spec) for name, (version, spec) in found.items() if _asks_for_context(spec)}
    context = rules.context.union(*(one.filter.context for one in of_spans))
    return Plan(found, rules, bool(of_spans), by_context, of_traces, context)


def _asks_for_context(spec: ScorerSpec) -> bool:
    return spec.enabled and any(one.target == "span" and one.filter.context for one in spec.online)


def chosen(found: Scorers, subject: Subject, target: str, *, settled: bool = False) -> Iterator[Chosen]:
    """Returns the scorers that judge a subject by themselves: the first of the `online` entries that takes it decides.

    `settled`: the subject has all the context that it will ever have.
    """
    for name, (version, spec) in found.items():
        for online in spec.online if spec.enabled else ():
            if online.target != target:
                continue
            lacks = () if settled else lacking(online.filter, online.filter.context, subject)
            takes = lacks or passes(online.filter, subject)
            if takes and keep(subject.project, subject.trace_id or subject.subject_id, online.sampling_rate):
                yield Chosen(name, version, spec, online, lacks)
                break


def is_whole(found: Plan, chunk: TraceChunk) -> bool:
    """Tells whether a trace is in the sample of a scorer that judges whole traces."""
    return any(keep(chunk.project, chunk.trace_id, online.sampling_rate) for online in found.of_traces)


def lacks(found: Plan, chunk: TraceChunk, span: Span) -> tuple[str, ...]:
    """Returns what has to be known of a span before some scorer or rule can tell whether it takes it; a root has what it has."""
    rules = found.rules.of_spans_by_context if chunk.origin == "online" else []
    if not span.parent_span_id or not (found.of_spans_by_context or rules):
        return ()
    if all(getattr(span, name) for name in found.context):
        return ()
    subject = subject_of_span(chunk, span)
    lacked = dict.fromkeys(name for one in chosen(found.of_spans_by_context, subject, "span") for name in one.lacks)
    for rule in matched(rules, subject, chunk.ingested_at, "")[1]:
        lacked |= dict.fromkeys(lacking(rule.spec.filter, rule.spec.context, subject))
    return tuple(lacked)


def contents_of(found: Plan, chunk: TraceChunk) -> SpanContents | None:
    """Returns what `complete` has to know of a chunk; None: nothing."""
    if not found.of_traces and not found.context:
        return None
    spans = [span for span in chunk.spans if not span.partial]
    if is_whole(found, chunk):
        return _contents(chunk, spans, ())
    if not found.context:
        return None
    undecided = [span for span in spans if lacks(found, chunk, span)]
    return _contents(chunk, undecided, spans)


def _contents(chunk: TraceChunk, spans: Sequence[Span], for_context: Sequence[Span]) -> SpanContents | None:
    if not spans and not for_context:
        return None
    return SpanContents(
        project=chunk.project,
        trace_id=chunk.trace_id,
        spans=TraceChunk.trusted({**chunk.__dict__, "spans": tuple(spans)}) if spans else None,
        context=tuple(context_of(span) for span in for_context),
    )
