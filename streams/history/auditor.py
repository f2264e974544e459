"""Runs an audit: reads topics and ClickHouse, and compares by `streams/history/audit.py`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key
from schemas.rule import RuleEvent
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.evaluations import amended, evaluations
from streams.history import audit
from streams.history.audit import Change, Report, Subject
from streams.history.recorded import Topics, of_rule
from streams.logic import delivery as deliveries
from streams.logic.configuration import Configuration, Versioned
from streams.logic.ledger import Ledger
from streams.tell import find
from streams.tell import rule as rule_of_change

SETTLED_MS = 60_000
"""What was ingested less than this ago may be on its way still."""


@dataclass
class Auditor:
    """The audit of one rule for what was ingested from `since` to `now`, both in milliseconds."""

    topics: Topics
    clickhouse: ClickHouse
    project: str
    rule: str
    since: int
    now: int
    report: Report = field(default_factory=Report)

    def run(self) -> Report:
        """Compares everything and returns what was found.

        Raises:
            LookupError: there never was such a rule.
            Transient, Permanent: ClickHouse's failure.
        """
        configuration = self.topics.configuration()
        versions = [v for v in configuration.history("Rule", self.project, self.rule) if not v.deleted]
        if not versions:
            raise LookupError(f"project {self.project} never had a rule {self.rule!r}")
        folded, subjects = self._folded(configuration)
        recorded = self._recorded()
        self._events(configuration, subjects)
        self._changes(folded, recorded)
        self._deliveries(configuration, recorded)
        return self.report

    def _folded(self, configuration: Configuration) -> tuple[dict[Change, AlertChange], dict[str, set[Subject]]]:
        """The changes that the rule's events make, and their matched subjects since `since` by rule version."""
        fold, made = self.topics.refold(configuration), dict[Change, AlertChange]()
        subjects: dict[str, set[Subject]] = {}
        for received in self.topics.rule_events(of_rule(self.project, self.rule)):
            if not received.is_tick:
                event = received.of(RuleEvent)
                subjects.setdefault(event.rule_version, set()).update(self._matched(event))
            for _, done in fold.take(received):
                for change in done.changes:
                    made.setdefault((change.alert_id, change.change), change)
        if fold.refused:
            self.report.remarks.append(f"{fold.refused} rule events could not be folded; `vedette dlq ls` shows them")
        return made, subjects

    def _matched(self, event: RuleEvent) -> Iterator[Subject]:
        for one in event.evaluated:
            if one.matched and self.since <= one.ingested_at < self.now - SETTLED_MS:
                yield one.subject_kind, one.subject_id

    def _recorded(self) -> dict[Change, AlertChange]:
        found: dict[Change, AlertChange] = {}
        for received in self.topics.alert_changes(of_rule(self.project, self.rule)):
            change = received.of(AlertChange)
            found.setdefault((change.alert_id, change.change), change)
        return found

    def _events(self, configuration: Configuration, subjects: dict[str, set[Subject]]) -> None:
        excused = amended(self.clickhouse, self.project, self.since)
        history = configuration.history("Rule", self.project, self.rule)
        stored: dict[str, set[Subject]] = {}
        for version, ended_at in zip(history, [*[v.effective_at for v in history[1:]], self.now], strict=True):
            stored.setdefault(version.version, set()).update(self._stored(version, ended_at))
        for name in {v.version for v in history}:
            ours, theirs = stored.get(name, set()), subjects.get(name, set())
            self.report.compared["events"] += len(ours | theirs)
            found = audit.events(self.rule, ours, {one for one in theirs if one in ours or one[1] not in excused})
            self.report.findings += found

    def _stored(self, version: Versioned, ended_at: int) -> Iterator[Subject]:
        since, until = max(self.since, version.effective_at), min(ended_at, self.now - SETTLED_MS)
        spec = RuleSpec.model_validate_json(version.spec) if not version.deleted else None
        if spec is None or not spec.enabled or since >= until:
            return
        for _, kinds, identities, matched, *_ in evaluations(self.clickhouse, self.project, spec, since, until):
            yield from ((k, i) for k, i, did in zip(kinds, identities, matched, strict=True) if did)

    def _changes(self, folded: dict[Change, AlertChange], recorded: dict[Change, AlertChange]) -> None:
        """Alerts of which the beginning is no longer on record cannot be folded again."""
        if self.topics.is_whole(Topic.RULE_EVENTS):
            known = folded.keys() | recorded.keys()
        else:
            opened = {alert for alert, number in folded.keys() & recorded.keys() if number == 0}
            known = {key for key in folded.keys() | recorded.keys() if key[0] in opened}
            skipped = len({alert for alert, _ in folded.keys() | recorded.keys()} - opened)
            self.report.remarks += [f"{skipped} alerts began before the oldest rule event that is kept"] * (skipped > 0)
        ours = {key: change for key, change in folded.items() if key in known and change.changed_at >= self.since}
        theirs = {key: change for key, change in recorded.items() if key in known and change.changed_at >= self.since}
        self.report.compared["changes"] += len(ours.keys() | theirs.keys())
        self.report.findings += audit.changes(ours, theirs)

    def _deliveries(self, configuration: Configuration, recorded: dict[Change, AlertChange]) -> None:
        oldest = max(self.since, self.now - deliveries.FORGET_AFTER_MS)
        if oldest > self.since:
            self.report.remarks.append("the ledger keeps what ended for 14 days; older deliveries are in ClickHouse")
        ledger = self._ledger()
        known = partial(find, configuration, self.project)
        for change in recorded.values():
            if oldest <= change.changed_at < self.now - SETTLED_MS:
                planned = deliveries.plan(change, rule_of_change(configuration, change), known, self.now)
                self.report.compared["deliveries"] += len(planned)
                self.report.findings += audit.told(planned, ledger)
        self.report.findings += audit.untold(ledger, recorded.keys())

    def _ledger(self) -> dict[bytes, Delivery]:
        ledger = Ledger()
        prefix = record_key(self.project)[:-1] + b","
        for received in self.topics.deliveries(lambda key: key.startswith(prefix)):
            if received.of(Delivery).rule == self.rule:
                ledger.apply(received.key or b"", received.of(Delivery))
        return ledger.entries
