"""Answers `vedette why`: finds what an id names, reads what is on record of it, and explains it by `streams/history/why.py`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.ids import record_key
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.subject import Subject, subject_of_example, subject_of_span
from sinks.clickhouse import subjects
from sinks.clickhouse.client import ClickHouse
from streams.cli.alerts import clock
from streams.history import why
from streams.history.recorded import Topics
from streams.history.why import Line
from streams.logic.conditions import Observed
from streams.logic.configuration import Configuration
from streams.logic.in_effect import rule_at, rules, scorers
from streams.logic.ledger import Ledger
from streams.logic.rules import Step
from streams.records import Received

TRACE, SPAN = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
MOST_SPANS = 20
"""Spans of a trace that are explained one by one."""


@dataclass
class Explainer:
    """Explains what happened in one project."""

    topics: Topics
    clickhouse: ClickHouse
    project: str
    now: int
    """Milliseconds."""

    @cached_property
    def configuration(self) -> Configuration:
        """Every version of every document."""
        return self.topics.configuration()

    def lines(self, identity: str) -> Iterator[Line]:
        """Yields the explanation of a span (TRACE:SPAN or SPAN), a trace, an example, or RULE/GROUP.

        Raises:
            LookupError: nothing of that name is on record.
            ValueError: the group does not fit the rule.
            Transient, Permanent: ClickHouse's failure.
        """
        rule, slash, group = identity.partition("/")
        if slash:
            yield from self._rule(rule, group)
            return
        found = list(self._subjects(identity))
        if not found:
            raise LookupError(
                f"project {self.project} has no span, trace or example {identity!r} in ClickHouse: another project (-p)? "
                "or not stored yet (`vedette status` tells the lag of `store`)?"
            )
        for subject, at, example in found[:MOST_SPANS]:
            yield from self._subject(subject, at, example)
        if len(found) > MOST_SPANS:
            yield Line("store", identity, f"and {len(found) - MOST_SPANS} spans more; ask for one by TRACE:SPAN")

    def _subjects(self, identity: str) -> Iterator[tuple[Subject, int, Example | None]]:
        span = identity.rpartition(":")[2]
        if TRACE.fullmatch(identity) or SPAN.fullmatch(span):
            column = "trace_id" if TRACE.fullmatch(identity) else "span_id"
            for chunk in subjects.spans(
                self.clickhouse, self.project, column, identity if column == "trace_id" else span
            ):
                yield subject_of_span(chunk, chunk.spans[0]), chunk.ingested_at, None
        example = subjects.example(self.clickhouse, self.project, identity)
        if example:
            yield subject_of_example(example[0]), example[1], example[0]

    def _subject(self, subject: Subject, at: int, example: Example | None) -> Iterator[Line]:
        about = f"{subject.kind} {subject.subject_id}"
        yield Line("store", about, f"came in at {clock(at)}, agent {subject.agent or '(none)'}")
        yield from why.sampled(subject, scorers(self.configuration, self.project, at), example)
        scores = subjects.scores(self.clickhouse, self.project, subject.subject_id)
        yield from why.judged(scores)
        live = [score for score in scores if score.origin == "online" and not score.attempt]
        yield from self._matched(subject, live, at)

    def _matched(self, subject: Subject, scores: Sequence[Score], at: int) -> Iterator[Line]:
        observed: list[Observed] = [*([subject] if subject.kind == "span" else []), *scores]
        for rule in rules(self.configuration, self.project, at):
            yield why.matched(rule, observed)
            yield from self._counted(rule.name, subject)

    def _counted(self, rule: str, subject: Subject) -> Iterator[Line]:
        """What the fold did with the subject, or with its trace."""
        names = {(subject.kind, subject.subject_id), ("trace", subject.trace_id)}
        for event, step in self._steps(rule):
            if {(one.subject_kind, one.subject_id) for one in event.evaluated} & names:
                yield from why.folded(rule, step.why, step.changes)
                yield from self._told(step.changes)

    def _steps(self, rule: str) -> Iterator[tuple[RuleEvent, Step]]:
        """The fold of a rule's events, one subject at a time."""
        fold = self.topics.refold(self.configuration)
        prefix = record_key(self.project, rule)[:-1] + b","
        for received in self.topics.rule_events(lambda key: key.startswith(prefix)):
            for one in _single(received):
                for _, step in fold.take(one):
                    if not one.is_tick:
                        yield one.of(RuleEvent), step

    def _told(self, changes: Sequence[AlertChange]) -> Iterator[Line]:
        wanted = {(change.alert_id, change.change) for change in changes}
        entries = [entry for entry in self._ledger.entries.values() if (entry.alert_id, entry.change) in wanted]
        yield from why.told(entries)

    @cached_property
    def _ledger(self) -> Ledger:
        ledger, prefix = Ledger(), record_key(self.project)[:-1] + b","
        for received in self.topics.deliveries(lambda key: key.startswith(prefix)):
            ledger.apply(received.key or b"", received.of(Delivery))
        return ledger

    def _rule(self, name: str, text: str) -> Iterator[Line]:
        rule = rule_at(self.configuration, self.project, name, self.now)
        if rule is None:
            raise LookupError(f"project {self.project} has no rule {name!r}; `vedette rules ls` lists them")
        group = why.group_of_text(rule, text)
        key = record_key(self.project, name, group)
        fold = self.topics.refold(self.configuration)
        for received in self.topics.rule_events(lambda found: found == key):
            fold.take(received)
        state = fold.state(key)
        yield from why.standing(rule, group, state, self.now)
        if state and state.outbox:
            yield from self._told([sent.change for sent in state.outbox])


def _single(received: Received) -> Iterator[Received]:
    """An event as events of one subject each: their fold is the same, and each tells its own why."""
    if received.is_tick or not received.of(RuleEvent).evaluated:
        yield received
        return
    event = received.of(RuleEvent)
    for one in sorted(event.evaluated, key=lambda one: (one.ingested_at, one.subject_id)):
        yield received.with_record(event.model_copy(update={"evaluated": (one,)}))
