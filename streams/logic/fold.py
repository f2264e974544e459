"""The fold of evaluated subjects into the state of one rule and group: what counts, what fires, what a cooldown keeps quiet."""

from bisect import bisect_right, insort
from collections import Counter
from typing import Any, Protocol

from schemas.alert import AlertChange
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import NEWEST_EVIDENCE, Firing, OpenAlert, RuleState, Sent, subject_hash
from streams.logic import alert_changes
from streams.logic.frequency import LATENESS_MS, Frequency, Met, room
from streams.logic.rate import Rate
from streams.logic.rule_step import Position, RuleVersion, Step
from streams.logic.window import Entry

FIRINGS_KEPT_MS = 72 * 3_600_000


class Form(Protocol):
    """One way to count: what it remembers of the subjects, and when its condition is met."""

    watermark: int

    def clear(self) -> None:
        """Forgets what was counted under other conditions."""

    def cause(self, known: bytes, matched: bool) -> str:  # noqa: FBT001
        """Returns the name under which a change is kept that a subject caused."""

    def refused(self, entry: Entry, matched: bool) -> str:  # noqa: FBT001
        """Returns why a subject changes nothing, or nothing."""

    def add(self, entry: Entry, matched: bool) -> bool:  # noqa: FBT001
        """Adds a subject and tells whether it counts."""

    def moment(self, entry: Entry) -> int:
        """Returns the time at which a firing that this subject causes takes place."""

    def met(self, entry: Entry) -> Met | None:
        """Returns the condition when this subject finds it met."""

    def goes_on(self) -> bool:
        """Tells whether what was just added breaks the silence that resolves an alert."""

    def packed(self) -> dict[str, Any]:
        """Returns its part of the state."""


def step(rule: RuleVersion, state: RuleState | None, event: RuleEvent, at: Position) -> Step:
    """Folds the subjects of one event into the state, in the order of (ingest time, subject id)."""
    fold = _Fold(rule, state or RuleState(window_since=rule.window_since), event, at)
    for evaluated in sorted(event.evaluated, key=_order):
        if evaluated.matched or rule.spec.rate:
            fold.subject(evaluated)
    return Step(fold.result() if fold.changed else state, tuple(fold.changes), fold.why)


class _Fold:
    """The working copy of a state while one event is folded into it."""

    def __init__(self, rule: RuleVersion, before: RuleState, event: RuleEvent, at: Position) -> None:
        self.rule, self.spec, self.before, self.event, self.at = rule, rule.spec, before, event, at
        rate = rule.spec.rate
        self.form: Form = Rate(rule.spec, rate, before) if rate else Frequency(rule.spec, before)
        self.window_since, self.matched_at = before.window_since, before.matched_at
        self.evidence, self.firings = before.evidence, list(before.firings)
        self.fired_at = sorted(firing.at for firing in before.firings)
        self.open, self.suppressed = before.open, before.suppressed
        self.outbox = list(before.outbox)
        self.sent = alert_changes.by_cause(before.outbox)
        self.changes: list[AlertChange] = []
        self.why: Counter[str] = Counter()
        self.changed = False

    def subject(self, evaluated: Evaluated) -> None:
        """Folds one subject and notes what it did."""
        entry = evaluated.ingested_at, subject_hash(evaluated.subject_kind, evaluated.subject_id)
        cause = self.form.cause(entry[1], evaluated.matched)
        again = self.sent.get(cause, ())
        self.changes += again
        reason = "duplicate" if again else self._refused(entry, evaluated.matched)
        self.why[reason or self._counted(evaluated, entry, cause)] += 1

    def _refused(self, entry: Entry, matched: bool) -> str:  # noqa: FBT001
        """Returns why a subject changes nothing, or nothing."""
        if self.rule.window_since < self.window_since:
            return "stale version"
        if self.rule.window_since > self.window_since:
            self._clear_window()
        return self.form.refused(entry, matched)

    def _clear_window(self) -> None:
        """The conditions changed: what was counted under the old ones does not count. Firings and cooldown stay."""
        self.window_since, self.evidence = self.rule.window_since, ()
        self.form.clear()
        self.changed = True

    def _counted(self, evaluated: Evaluated, entry: Entry, cause: str) -> str:
        self.changed = True
        if not self.form.add(entry, evaluated.matched):
            return "too late"
        if self.form.goes_on():
            self.matched_at = max(self.matched_at, self.at.appended_at)
        if evaluated.matched:
            self.evidence = _with(self.evidence, evaluated)
            if self.open:
                self.open = OpenAlert.trusted({**self.open.__dict__, "matched": self.open.matched + 1})
        return self._consequence(evaluated, entry, cause)

    def _consequence(self, evaluated: Evaluated, entry: Entry, cause: str) -> str:
        moment, counted = self.form.moment(entry), "counted" if evaluated.matched else "evaluated"
        if self._cools(moment):
            quiet = evaluated.matched and self._cools(entry[0])  # a late match of a sliding window may lie before it
            self.suppressed += quiet
            return "suppressed" if quiet else counted
        met = self.form.met(entry)
        if met is None:
            return counted
        trigger = f"{evaluated.subject_kind}:{evaluated.subject_id}"
        firing = Firing(at=moment, firing_id=alert_changes.firing_id(self.rule, self.event.group, trigger))
        if any(known.firing_id == firing.firing_id for known in self.firings):
            return counted  # a trace that goes on for hours, forgotten since: its firing was told under this id
        return self._fire(firing, met, cause)

    def _cools(self, time: int) -> bool:
        """Tells whether a time lies within the cooldown on either side of a firing."""
        next_one = bisect_right(self.fired_at, time - self.spec.cooldown)
        return next_one < len(self.fired_at) and self.fired_at[next_one] < time + self.spec.cooldown

    def _fire(self, firing: Firing, met: Met, cause: str) -> str:
        self.firings.append(firing)
        insort(self.fired_at, firing.at)
        self.open = alert_changes.opened(self.open, firing, self.spec.severity, met.subjects)
        told = met._asdict() | {"suppressed": self.suppressed, "evidence": self.evidence}
        change = alert_changes.fired(self.rule, self.event.group, self.open, firing, self.at, **told)
        self.suppressed = 0
        self.changes.append(change)
        self.outbox.append(Sent(cause=cause, at=self.at.appended_at, change=change))
        return change.kind

    def result(self) -> RuleState:
        """Returns the state after the event, cut to its bounds."""
        moves = {
            "writes": self.before.writes + 1,
            "window_since": self.window_since,
            "evidence": self.evidence,
            "firings": self._firings_kept(),
            "open": self.open,
            "suppressed": self.suppressed,
            "matched_at": self.matched_at,
            "heard_at": max(self.before.heard_at, self.at.appended_at),
            "outbox": alert_changes.outbox_kept(self.outbox, self.spec, self.at.appended_at),
            "group": self.event.group,
        }
        return self.before.model_copy(update={**moves, **self.form.packed()})

    def _firings_kept(self) -> tuple[Firing, ...]:
        """Every firing within whose cooldown a match can still come: a match older than `room` others is too late."""
        reach = self.spec.cooldown + self.spec.within + (self.spec.sustained or 0) + LATENESS_MS
        kept_from = self.form.watermark - max(reach, FIRINGS_KEPT_MS)
        kept = sorted((firing for firing in self.firings if firing.at >= kept_from), key=_time)
        return tuple(kept[-room(self.spec) :])


def _with(evidence: tuple[Evaluated, ...], evaluated: Evaluated) -> tuple[Evaluated, ...]:
    """The newest ones, in their order; what comes mostly is the newest."""
    if not evidence or _order(evidence[-1]) <= _order(evaluated):
        return (*evidence[1 - NEWEST_EVIDENCE :], evaluated)
    return tuple(sorted((*evidence, evaluated), key=_order)[-NEWEST_EVIDENCE:])


def _time(firing: Firing) -> int:
    return firing.at


def _order(evaluated: Evaluated) -> tuple[int, str]:
    return evaluated.ingested_at, evaluated.subject_id
