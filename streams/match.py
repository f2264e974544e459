"""The matcher: which subjects match which rules. Scores and spans in, rule events out.

A condition of several that have to come together goes to `vedette.rule-conditions`, a score whose rule asks for context that its
span lacks to `vedette.span-contents`: the job `complete` writes the events of both.
"""

from collections.abc import Iterable, Iterator, Sequence

from schemas.contents import SpanContents
from schemas.ids import record_key
from schemas.rule import Evaluated, RuleCondition, RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.subject import subject_of_span
from schemas.topics import Topic
from streams.config_feed import ConfigFeed
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered
from streams.logic.matching import Match, condition_of, event_of, index, matched, reason_of
from streams.logic.rules import RuleVersion
from streams.loop import Loop, run
from streams.records import Out, Reads, Received
from streams.settings import Settings

SUBJECTS_PER_EVENT = 200

_INDEX = Remembered(index)


def matches(batch: Sequence[Received], configuration: Configuration) -> list[Out]:
    """Returns what a batch does to rules: one event per rule version and group with every subject that matched, and what has to wait."""
    found: list[Match] = []
    waiting: list[Score] = []
    for received in batch:
        if isinstance(received.record, TraceChunk):
            found += _of_spans(received.record, configuration)
        else:
            score = received.of(Score)
            of_score, waits = _of_score(score, configuration)
            found += of_score
            waiting += [score] if waits else ()
    return [*rule_records(found), *map(_waits, waiting)]


def rule_records(found: Iterable[Match]) -> list[Out]:
    """Returns the records of matches: conditions of several one by one, everything else as rule events."""
    conditions: list[Out] = []
    alone: list[Match] = []
    for match in found:
        if match.rule.spec.when.is_gathered:
            condition = condition_of(match)
            key = record_key(condition.project, condition.trace_id)
            conditions.append(Out(Topic.RULE_CONDITIONS, key, condition))
        else:
            alone.append(match)
    return [*conditions, *rule_events(alone)]


def rule_events(found: Iterable[Match]) -> list[Out]:
    """Returns matches as rule events, by rule version and group."""
    groups: dict[object, tuple[Match, list[Evaluated]]] = {}
    for match in found:
        rule = match.rule
        place = (rule.project, rule.name, rule.version, rule.window_since, match.group)
        groups.setdefault(place, (match, []))[1].append(match.evaluated)
    return [out for first, evaluated in groups.values() for out in _events(first.rule, first.group, evaluated)]


def _of_score(score: Score, configuration: Configuration) -> tuple[list[Match], bool]:
    """Returns what a score moves, and whether a rule has to wait for its span's context."""
    if score.origin != "online" or score.attempt:  # experiments, replays and amendments never move a live rule
        return [], False
    known = _INDEX.at(configuration, score.project, score.ingested_at)
    wanted = known.by_verdict.get((score.scorer, score.outcome))
    if not wanted:
        return [], False
    found, undecided = matched(wanted, score, score.ingested_at, reason_of(score))
    return found, bool(undecided)


def _of_spans(chunk: TraceChunk, configuration: Configuration) -> Iterator[Match]:
    """What rules have to wait for is sent on by the sampler, which reads the same spans."""
    if chunk.origin != "online" or chunk.amends:
        return
    wanted = _INDEX.at(configuration, chunk.project, chunk.ingested_at).of_spans
    for span in chunk.spans if wanted else ():
        if not span.partial:
            subject, is_root = subject_of_span(chunk, span), not span.parent_span_id
            yield from matched(wanted, subject, chunk.ingested_at, reason_of(span), settled=is_root)[0]


def _waits(score: Score) -> Out:
    contents = SpanContents(project=score.project, trace_id=score.trace_id, scores=(score,))
    return Out(Topic.SPAN_CONTENTS, record_key(score.project, score.trace_id), contents)


def _events(rule: RuleVersion, group: tuple[str, ...], evaluated: list[Evaluated]) -> Iterator[Out]:
    key = record_key(rule.project, rule.name, group)
    for first in range(0, len(evaluated), SUBJECTS_PER_EVENT):
        yield Out(Topic.RULE_EVENTS, key, event_of(rule, group, evaluated[first : first + SUBJECTS_PER_EVENT]))


def main(settings: Settings) -> None:
    """Runs the matcher until SIGTERM."""
    feed = ConfigFeed(settings)
    reads: Reads = {Topic.SCORES: Score, Topic.SPANS: TraceChunk}
    loop = Loop(
        "match",
        settings,
        reads,
        lambda batch: matches(batch, feed.confirmed()),
        writes=(RuleEvent, RuleCondition, SpanContents),
    )
    run(loop, before=feed.start)
