"""The matcher: which subjects match which rules. Scores and spans in, rule events out."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.documents.rule import ScorerIs, ScorerValue
from schemas.ids import record_key
from schemas.rule import Evaluated, RuleEvent
from schemas.score import Outcome, Score
from schemas.span import TraceChunk
from schemas.subject import subject_of_span
from schemas.topics import Topic
from streams.config_feed import ConfigFeed
from streams.logic.conditions import Observed, group_key, group_of, verdicts_of
from streams.logic.conditions import matches as rule_matches
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered, rules
from streams.logic.rules import RuleVersion
from streams.loop import Loop, run
from streams.records import Out, Reads, Received
from streams.settings import Settings

REASON_CHARACTERS = 300
SUBJECTS_PER_EVENT = 200


@dataclass
class Index:
    """The rules of a project by what can move them: a score meets only those that name its scorer and may take its outcome."""

    by_verdict: dict[tuple[str, Outcome], list[RuleVersion]] = field(default_factory=lambda: defaultdict(list))
    of_spans: list[RuleVersion] = field(default_factory=list)


def _index(configuration: Configuration, project: str, at: int) -> Index:
    index = Index()
    for rule in rules(configuration, project, at):
        conditions = rule.spec.when.conditions
        for verdict in {verdict for condition in conditions for verdict in verdicts_of(condition)}:
            index.by_verdict[verdict].append(rule)
        if any(not isinstance(c, ScorerIs | ScorerValue) for c in conditions):
            index.of_spans.append(rule)
    return index


_INDEX = Remembered(_index)


def matches(batch: Sequence[Received], configuration: Configuration) -> list[Out]:
    """Returns the rule events of a batch: one per rule version and group, with every subject that matched."""
    found: dict[object, tuple[RuleVersion, tuple[str, ...], list[Evaluated]]] = {}
    for received in batch:
        for rule, observed, evaluated in _matched(received, configuration):
            group = group_of(rule.spec, observed)
            place = (rule.project, rule.name, rule.version, rule.window_since, group)
            found.setdefault(place, (rule, group, []))[2].append(evaluated)
    return [out for rule, group, evaluated in found.values() for out in _events(rule, group, evaluated)]


def _matched(received: Received, configuration: Configuration) -> Iterator[tuple[RuleVersion, Observed, Evaluated]]:
    record = received.record
    if isinstance(record, TraceChunk):
        yield from _matched_spans(record, configuration)
        return
    score = received.of(Score)
    if score.origin != "online" or score.attempt:  # experiments, replays and amendments never move a live rule
        return
    index = _INDEX.at(configuration, score.project, score.ingested_at)
    for rule in index.by_verdict.get((score.scorer, score.outcome), ()):
        if rule_matches(rule.spec, score):
            reason = f"judged late: {score.reason}" if score.late else score.reason
            yield rule, score, _evaluated(rule, score, score.ingested_at, score.value, reason)


def _matched_spans(
    chunk: TraceChunk, configuration: Configuration
) -> Iterator[tuple[RuleVersion, Observed, Evaluated]]:
    if chunk.origin != "online" or chunk.amends:
        return
    wanted = _INDEX.at(configuration, chunk.project, chunk.ingested_at).of_spans
    for span in chunk.spans if wanted else ():
        if span.partial:
            continue
        subject = subject_of_span(chunk, span)
        for rule in wanted:
            if rule_matches(rule.spec, subject):
                reason = span.status_message or span.name
                yield rule, subject, _evaluated(rule, subject, chunk.ingested_at, None, reason)


def _evaluated(rule: RuleVersion, observed: Observed, ingested_at: int, value: float | None, reason: str) -> Evaluated:
    of_trace = rule.spec.per == "trace" and observed.trace_id
    return Evaluated(
        subject_kind="trace" if of_trace else observed.subject_kind if isinstance(observed, Score) else observed.kind,
        subject_id=observed.trace_id if of_trace else observed.subject_id,
        ingested_at=ingested_at,
        value=value,
        reason=reason[:REASON_CHARACTERS],
        trace_id=observed.trace_id,
        span_id=observed.span_id,
    )


def _events(rule: RuleVersion, group: tuple[str, ...], evaluated: list[Evaluated]) -> Iterator[Out]:
    for first in range(0, len(evaluated), SUBJECTS_PER_EVENT):
        event = RuleEvent(
            project=rule.project,
            rule=rule.name,
            rule_version=rule.version,
            group=group,
            group_key=group_key(rule.spec, group),
            evaluated=tuple(evaluated[first : first + SUBJECTS_PER_EVENT]),
        )
        yield Out(Topic.RULE_EVENTS, record_key(rule.project, rule.name, group), event)


def main(settings: Settings) -> None:
    """Runs the matcher until SIGTERM."""
    feed = ConfigFeed(settings)
    reads: Reads = {Topic.SCORES: Score, Topic.SPANS: TraceChunk}
    loop = Loop("match", settings, reads, lambda batch: matches(batch, feed.confirmed()), writes=(RuleEvent,))
    run(loop, before=feed.start)
