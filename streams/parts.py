"""What the records of `vedette.span-contents` ask of the assembly of traces, and what comes of it: by what was in effect then."""

from schemas.contents import SpanContents
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.subject import subject_of_span
from streams.logic.conditions import lacking
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered
from streams.logic.matching import matched, reason_of
from streams.logic.part import Decided, Made, Part, Undecided
from streams.logic.plan import Plan, chosen, is_whole, lacks, plan
from streams.logic.rules import RuleVersion
from streams.logic.whole_trace import subject_of_trace
from streams.match import rule_records
from streams.records import Out
from streams.sample import requests_of

_PLAN = Remembered(plan)


def part_of(contents: SpanContents, configuration: Configuration) -> Part | None:
    """Returns what a record says of a trace and what is asked of it by what was in effect at the ingest time; None: nothing."""
    expected: tuple[str, ...] = ()
    if contents.waiting and is_whole(_plan_of(contents.waiting, configuration), contents.waiting):
        expected = tuple(span.span_id for span in contents.waiting.spans)
    chunk, undecided, whole = contents.spans, list[Undecided](), None
    if chunk is not None:
        found = _plan_of(chunk, configuration)
        whole = chunk if is_whole(found, chunk) else None
        undecided += [
            Undecided(TraceChunk.trusted({**chunk.__dict__, "spans": (span,)}), span.span_id, lacked)
            for span in chunk.spans
            if (lacked := lacks(found, chunk, span))
        ]
    undecided += [Undecided(score, score.span_id, _lacks(score, configuration)) for score in contents.scores]
    if not (whole or undecided or contents.context or expected):
        return None
    return Part(contents.project, contents.trace_id, whole, contents.context, undecided, expected)


def _plan_of(chunk: TraceChunk, configuration: Configuration) -> Plan:
    return _PLAN.at(configuration, chunk.project, chunk.ingested_at)


def _undecided_rules(score: Score, configuration: Configuration) -> list[RuleVersion]:
    rules = _PLAN.at(configuration, score.project, score.ingested_at).rules
    return matched(rules.by_verdict.get((score.scorer, score.outcome), ()), score, score.ingested_at, "")[1]


def _lacks(score: Score, configuration: Configuration) -> tuple[str, ...]:
    asked = (lacking(r.spec.filter, r.spec.context, score) for r in _undecided_rules(score, configuration))
    return tuple(dict.fromkeys(name for names in asked for name in names))


def records_of(made: Made, configuration: Configuration) -> list[Out]:
    """Returns what a whole trace, or a span or score whose context is known, causes: by the functions of the sampler and the matcher."""
    if isinstance(made, Decided):
        return _decided(made.before, made.after, configuration)
    chunk = made.chunk
    subject, found = subject_of_trace(chunk), _plan_of(chunk, configuration)
    online = [(0, one) for one in chosen(found.scorers, subject, "trace", settled=True)]
    return requests_of(chunk, [subject], online, made.attempt)


def _decided(before: TraceChunk | Score, after: TraceChunk | Score, configuration: Configuration) -> list[Out]:
    if isinstance(before, Score):
        assert isinstance(after, Score)  # noqa: S101 - both are of one kind
        wanted = _undecided_rules(before, configuration)
        return rule_records(matched(wanted, after, after.ingested_at, reason_of(after), settled=True)[0])
    assert isinstance(after, TraceChunk)  # noqa: S101 - both are of one kind
    found = _plan_of(before, configuration)
    subject, lacked = subject_of_span(after, after.spans[0]), subject_of_span(before, before.spans[0])
    waited = {one.name for one in chosen(found.scorers, lacked, "span") if one.lacks}
    online = [(0, one) for one in chosen(found.scorers, subject, "span", settled=True) if one.name in waited]
    outs = requests_of(after, [subject], online)
    if after.origin == "online":
        rules = matched(found.rules.of_spans_by_context, lacked, before.ingested_at, "")[1]
        reason = reason_of(after.spans[0])
        outs += rule_records(matched(rules, subject, after.ingested_at, reason, settled=True)[0])
    return outs
