"""Rules as a fold: matches and ticks in, alert changes out.

The live counter, tests, back-tests and audits call the same `step`. Times are milliseconds since the epoch.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from schemas.alert import AlertChange
from schemas.documents.base import format_duration
from schemas.documents.rule import RuleSpec
from schemas.ids import hashed
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import (
    NEWEST_EVIDENCE,
    Firing,
    OpenAlert,
    RuleState,
    Sent,
    pack_subjects,
    subject_hash,
    unpack_subjects,
)
from streams.logic.conditions import group_key
from streams.logic.window import NOTHING, Entry, Window

LATENESS_MS = 600_000
"""A match older than watermark - within - this is too late."""
FIRINGS_KEPT_MS = 72 * 3_600_000
OUTBOX_KEPT_MS = 3_600_000
OUTBOX_MOST = 256
SUBJECTS_LEAST = 512


@dataclass(frozen=True)
class RuleVersion:
    """One version of a rule, as in effect for the events it is given with."""

    project: str
    name: str
    version: str
    spec: RuleSpec
    window_since: int = 0
    """When its conditions took effect: edits of times, within, cooldown or actions keep it."""


@dataclass(frozen=True)
class Step:
    """What one event did."""

    state: RuleState | None
    """The new state; None when nothing is left to remember. The very state that came in when nothing changed."""
    changes: tuple[AlertChange, ...]
    """Alert changes to write, those of an event met again included."""
    why: Mapping[str, int]
    """How many subjects were counted, fired, renotified, suppressed, duplicate, too late ..."""


@dataclass(frozen=True)
class Position:
    """Where an event stands on `vedette.rule-events`, and when Kafka appended it."""

    partition: int
    offset: int
    appended_at: int


def step(rule: RuleVersion, state: RuleState | None, event: RuleEvent, at: Position) -> Step:
    """Folds the subjects of one event into the state, in the order of (ingest time, subject id).

    An event that was folded before changes nothing and returns the changes that it caused again, byte for byte.
    """
    before = state or RuleState(window_since=rule.window_since)
    fold = _Fold(rule, before, event, at)
    for evaluated in sorted(event.evaluated, key=_order):
        if evaluated.matched:
            fold.match(evaluated)
    return Step(fold.result(), tuple(fold.changes), fold.why)


def tick(rule: RuleVersion | None, state: RuleState, at: Position) -> Step:
    """Ends by silence: resolves the open alert when its time has come, forgets what nothing depends on any more.

    `rule` is the version in effect at the tick, None when the rule is deleted. A tick that is not newer than all that
    the state has folded was met before: it changes nothing and returns again what it caused.
    """
    cause = f"tick:{at.appended_at}"
    if at.appended_at <= max(state.ticked_at, state.matched_at):
        return Step(state, tuple(sent.change for sent in state.outbox if sent.cause == cause), {"duplicate": 1})
    if state.open and (why := _over(rule, state, at.appended_at)):
        change = _resolved(rule, state, state.open, at, why)
        return Step(_after_resolve(state, change, cause, at), (change,), {"resolved": 1})
    if not state.open and at.appended_at - max(state.matched_at, state.ticked_at) > _remembered_ms(rule):
        return Step(None, (), {"forgotten": 1})
    return Step(state, (), {})


def _over(rule: RuleVersion | None, state: RuleState, now: int) -> str:
    """Returns why the open alert ends now, or nothing."""
    if rule is None:
        return "the rule was deleted"
    if not rule.spec.enabled:
        return "the rule was disabled"
    if now - state.matched_at >= rule.spec.resolve_after_ms:
        return f"no match for {format_duration(rule.spec.resolve_after_ms)}"
    return ""


def _remembered_ms(rule: RuleVersion | None) -> int:
    return max(FIRINGS_KEPT_MS, rule.spec.cooldown + OUTBOX_KEPT_MS if rule else 0)


def _resolved(rule: RuleVersion | None, state: RuleState, alert: OpenAlert, at: Position, why: str) -> AlertChange:
    newest = state.outbox[-1].change  # it stays there as long as its alert is open
    return newest.model_copy(
        update={
            "rule_version": rule.version if rule else newest.rule_version,
            "change": alert.change + 1,
            "kind": "resolved",
            "state": "resolved",
            "changed_at": at.appended_at,
            "matched": alert.matched,
            "suppressed": state.suppressed,
            "cause": why,
            "by": "",
            "until": 0,
            "evidence": state.evidence,
            "events_partition": at.partition,
            "events_offset": at.offset,
        }
    )


def _after_resolve(state: RuleState, change: AlertChange, cause: str, at: Position) -> RuleState:
    return state.model_copy(
        update={
            "open": None,
            "suppressed": 0,
            "ticked_at": at.appended_at,
            "writes": state.writes + 1,
            "outbox": (*state.outbox, Sent(cause=cause, at=at.appended_at, change=change))[-OUTBOX_MOST:],
        }
    )


class _Fold:
    """The working copy of a state while one event is folded into it."""

    def __init__(self, rule: RuleVersion, before: RuleState, event: RuleEvent, at: Position) -> None:
        self.rule, self.spec, self.before, self.event, self.at = rule, rule.spec, before, event, at
        self.window_since, self.watermark, self.matched_at = before.window_since, before.watermark, before.matched_at
        self.room = max(2 * self.spec.times, SUBJECTS_LEAST)
        self.window = self._window(before.subjects, before.floor)
        self.evidence, self.firings = before.evidence, list(before.firings)
        self.open, self.suppressed = before.open, before.suppressed
        self.outbox = list(before.outbox)
        self.changes: list[AlertChange] = []
        self.why: Counter[str] = Counter()
        self.changed = False

    def _window(self, packed: bytes, floor: bytes) -> Window:
        return Window(packed, unpack_subjects(floor)[0] if floor else NOTHING, self.spec.within, self.room)

    def match(self, evaluated: Evaluated) -> None:
        """Folds one match and notes what it did."""
        known = subject_hash(evaluated.subject_kind, evaluated.subject_id)
        again = [sent.change for sent in self.before.outbox if sent.cause == known.hex()]
        self.changes += again
        reason = "duplicate" if again else self._refused((evaluated.ingested_at, known))
        self.why[reason or self._counted(evaluated, (evaluated.ingested_at, known))] += 1

    def _refused(self, entry: Entry) -> str:
        """Returns why a match changes nothing, or nothing."""
        if self.rule.window_since < self.window_since:
            return "stale version"
        if self.rule.window_since > self.window_since:
            self._clear_window()
        if entry[1] in self.window:
            return "duplicate"
        return "too late" if entry[0] < self._oldest() or entry <= self.window.floor else ""

    def _clear_window(self) -> None:
        """The conditions changed: what was counted under the old ones does not count. Firings and cooldown stay."""
        self.window_since, self.window, self.evidence = self.rule.window_since, self._window(b"", b""), ()
        self.changed = True

    def _oldest(self) -> int:
        return self.watermark - self.spec.within - LATENESS_MS

    def _counted(self, evaluated: Evaluated, entry: Entry) -> str:
        self.changed = True
        if not self.window.add(entry):
            return "too late"
        self.watermark = max(self.watermark, evaluated.ingested_at)
        self.matched_at = max(self.matched_at, self.at.appended_at)
        self.window.forget_before(self._oldest())
        self.evidence = tuple(sorted((*self.evidence, evaluated), key=_order)[-NEWEST_EVIDENCE:])
        if self.open:
            self.open = self.open.model_copy(update={"matched": self.open.matched + 1})
        return self._consequence(evaluated, entry)

    def _consequence(self, evaluated: Evaluated, entry: Entry) -> str:
        if any(abs(entry[0] - firing.at) < self.spec.cooldown for firing in self.firings):
            self.suppressed += 1
            return "suppressed"
        if not self.window.holds(self.spec.times, entry):
            return "counted"
        firing_id = self._firing_id(evaluated)
        if any(firing.firing_id == firing_id for firing in self.firings):
            return "counted"  # a trace that goes on for hours, forgotten since: its firing was told under this id
        return self._fire(firing_id, entry)

    def _firing_id(self, evaluated: Evaluated) -> str:
        subject = f"{evaluated.subject_kind}:{evaluated.subject_id}"
        group = orjson.dumps(self.event.group).decode()
        return hashed(self.rule.project, self.rule.name, self.spec.window_version, group, subject)

    def _fire(self, firing_id: str, entry: Entry) -> str:
        self.firings.append(Firing(at=entry[0], firing_id=firing_id))
        subjects = self.window.most(entry)
        self.open = self._opened(firing_id, entry[0], subjects)
        change = self._change(self.open, firing_id, entry[0], subjects)
        self.suppressed = 0
        self.changes.append(change)
        self.outbox.append(Sent(cause=entry[1].hex(), at=self.at.appended_at, change=change))
        return change.kind

    def _opened(self, firing_id: str, fired_at: int, subjects: int) -> OpenAlert:
        severity = self.spec.severity
        if self.open is None:
            return OpenAlert(
                alert_id=firing_id, state="firing", change=0, fired_at=fired_at, severity=severity, matched=subjects
            )
        more = {"change": self.open.change + 1, "renotified": self.open.renotified + 1, "severity": severity}
        return self.open.model_copy(update=more)

    def _change(self, alert: OpenAlert, firing_id: str, fired_at: int, subjects: int) -> AlertChange:
        return AlertChange(
            project=self.rule.project,
            rule=self.rule.name,
            rule_version=self.rule.version,
            group=self.event.group,
            group_key=group_key(self.spec, self.event.group),
            alert_id=alert.alert_id,
            change=alert.change,
            kind="renotified" if alert.change else "fired",
            state=alert.state,
            severity=alert.severity,
            firing_id=firing_id,
            fired_at=alert.fired_at,
            changed_at=fired_at,
            cooldown_until=fired_at + self.spec.cooldown,
            renotified=alert.renotified,
            subjects=subjects,
            matched=alert.matched,
            suppressed=self.suppressed,
            cause=f"{subjects} in {format_duration(self.spec.within)}, {self.spec.times} are enough",
            evidence=self.evidence,
            events_partition=self.at.partition,
            events_offset=self.at.offset,
        )

    def result(self) -> RuleState:
        """Returns the state after the event, cut to its bounds; the state before it when nothing changed."""
        if not self.changed:
            return self.before
        return RuleState(
            writes=self.before.writes + 1,
            window_since=self.window_since,
            watermark=self.watermark,
            subjects=self.window.packed(),
            floor=pack_subjects([self.window.floor]) if self.window.floor != NOTHING else b"",
            evidence=self.evidence,
            firings=self._firings_kept(),
            open=self.open,
            suppressed=self.suppressed,
            matched_at=self.matched_at,
            ticked_at=self.before.ticked_at,
            outbox=self._outbox_kept(),
        )

    def _firings_kept(self) -> tuple[Firing, ...]:
        """Every firing within whose cooldown a match can still come: a match older than `room` others is too late."""
        kept_from = self.watermark - max(self.spec.cooldown + self.spec.within + LATENESS_MS, FIRINGS_KEPT_MS)
        kept = sorted((firing for firing in self.firings if firing.at >= kept_from), key=_time)
        return tuple(kept[-self.room :])

    def _outbox_kept(self) -> tuple[Sent, ...]:
        """The newest change stays, however old: what ends its alert is told like it."""
        kept_from = self.at.appended_at - max(self.spec.cooldown, OUTBOX_KEPT_MS)
        kept = [sent for sent in self.outbox[:-1] if sent.at >= kept_from]
        return (*kept, *self.outbox[-1:])[-OUTBOX_MOST:]


def _time(firing: Firing) -> int:
    return firing.at


def _order(evaluated: Evaluated) -> tuple[int, str]:
    return evaluated.ingested_at, evaluated.subject_id
