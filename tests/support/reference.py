"""What the rules say, by brute force: one rule and group with its whole history, every definition looked up in all of it.

Written from `docs/rules.md`, not from the fold: no window that moves, no sample that is kept, no run that is carried along. Logs are
short enough that nothing is forgotten for want of room.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.alert import AlertChange
from schemas.ids import hashed
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import subject_hash
from streams.logic.rules import Position, RuleVersion

LATENESS = 600_000
TOLD = [
    "alert_id",
    "change",
    "kind",
    "state",
    "severity",
    "firing_id",
    "fired_at",
    "changed_at",
    "cooldown_until",
    "renotified",
    "subjects",
    "matched",
    "suppressed",
    "by",
    "until",
    "evidence",
    "events_offset",
    "rule_version",
]


@dataclass
class Counted:
    """A subject that counts."""

    time: int
    known: bytes
    matched: bool
    since: int
    """When the conditions took effect under which it counts."""


@dataclass
class Alert:
    """The open alert."""

    alert_id: str
    fired_at: int
    severity: str
    matched: int
    state: str = "firing"
    change: int = 0
    renotified: int = 0
    until: int = 0
    last_firing: dict[str, Any] = field(default_factory=dict)


@dataclass
class Reference:
    """One rule and group. `event` and `tick` return what people are to be told, as `TOLD` fields."""

    sample: int
    since: int = -1
    subjects: list[Counted] = field(default_factory=list)
    evidence: list[tuple[int, Evaluated]] = field(default_factory=list)
    looks: list[tuple[int, int, bool]] = field(default_factory=list)
    """Of a rate: since of the conditions, end of the window, whether the share was reached."""
    too_old: dict[int, int] = field(default_factory=dict)
    """Of a rate: up to when the windows have left everything behind, by the conditions' since."""
    firings: dict[str, int] = field(default_factory=dict)
    alert: Alert | None = None
    suppressed: int = 0
    heard_at: int = 0
    """Append time of what broke the silence last."""
    ticked_at: int = 0
    commands: set[str] = field(default_factory=set)

    # --- events ---------------------------------------------------------------------------------------------------

    def event(self, rule: RuleVersion, event: RuleEvent, at: Position) -> list[dict[str, Any]]:
        if event.command is not None:
            return list(self._command(rule, event.command, at))
        if rule.spec.no_traffic:
            return list(self._traffic(rule, at))
        ordered = sorted(event.evaluated, key=lambda one: (one.ingested_at, one.subject_id))
        wanted = [one for one in ordered if one.matched or rule.spec.rate]
        return [told for one in wanted for told in self._subject(rule, event.group, one, at)]

    def _subject(
        self, rule: RuleVersion, group: tuple[str, ...], one: Evaluated, at: Position
    ) -> Iterator[dict[str, Any]]:
        if rule.window_since < self.since:
            return
        self.since = rule.window_since
        counts = self._share_counts if rule.spec.rate else self._match_counts
        if not counts(rule, one):
            return
        reached = self.looks[-1][2] if rule.spec.rate else True
        if reached:
            self.heard_at = max(self.heard_at, at.appended_at)
        if one.matched:
            self.evidence.append((self.since, one))
            if self.alert:
                self.alert.matched += 1
        yield from self._consequence(rule, group, one, at)

    def _consequence(
        self, rule: RuleVersion, group: tuple[str, ...], one: Evaluated, at: Position
    ) -> Iterator[dict[str, Any]]:
        plain = not (rule.spec.rate or rule.spec.sustained)
        moment = one.ingested_at if plain else self._newest()
        if any(abs(moment - fired) < rule.spec.cooldown for fired in self.firings.values()):
            own = any(abs(one.ingested_at - fired) < rule.spec.cooldown for fired in self.firings.values())
            self.suppressed += one.matched and own
            return
        subjects = self._met(rule, one)
        firing_id = self._firing_id(rule, group, f"{one.subject_kind}:{one.subject_id}")
        if subjects is None or firing_id in self.firings:
            return
        yield self._fire(rule, firing_id, moment, subjects, at)

    # --- conditions -----------------------------------------------------------------------------------------------

    def _now(self) -> list[Counted]:
        return [one for one in self.subjects if one.since == self.since]

    def _newest(self) -> int:
        return max((one.time for one in self.subjects), default=0)

    def _match_counts(self, rule: RuleVersion, one: Evaluated) -> bool:
        known = subject_hash(one.subject_kind, one.subject_id)
        oldest = self._newest() - rule.spec.within - (rule.spec.sustained or 0) - LATENESS
        if any(other.known == known for other in self.subjects) or one.ingested_at < oldest:
            return False
        self.subjects.append(Counted(one.ingested_at, known, True, self.since))
        return True

    def _share_counts(self, rule: RuleVersion, one: Evaluated) -> bool:
        known, within = subject_hash(one.subject_kind, one.subject_id), rule.spec.within
        if one.ingested_at <= max(self._newest() - within, self.too_old.get(self.since, -1)):
            return False
        if sum(other.time > one.ingested_at and other.known < known for other in self._now()) >= self.sample:
            return False  # the sample of every window that holds it is full without it
        before = next((other for other in self._now() if other.known == known), None)
        if before is None:
            self.subjects.append(Counted(one.ingested_at, known, one.matched, self.since))
        elif one.matched and not before.matched:
            before.matched = True
        else:
            return False
        end = self._newest()
        self.too_old[self.since] = max(self.too_old.get(self.since, -1), end - within)
        matched, evaluated = self._share(rule)
        self.looks.append(
            (self.since, end, evaluated >= rule.spec.rate.of and matched / evaluated >= rule.spec.rate.share)
        )  # type: ignore[union-attr]
        return True

    def _share(self, rule: RuleVersion) -> tuple[int, int]:
        end = self._newest()
        window = sorted(
            (one for one in self._now() if end - rule.spec.within < one.time <= end), key=lambda one: one.known
        )
        sample = window[: self.sample]
        return sum(one.matched for one in sample), len(sample)

    def _met(self, rule: RuleVersion, one: Evaluated) -> int | None:
        spec = rule.spec
        if spec.rate:
            since = self._reached_since(spec.within)
            held = since is not None and self._newest() - since >= (spec.sustained or 0)
            return self._share(rule)[0] if held else None
        times = sorted(other.time for other in self._now())
        if spec.sustained:
            end = self._newest()
            held_since = _held_since(times, spec.times, spec.within, end)
            held = held_since is not None and end - held_since >= spec.sustained
            return sum(end - spec.within < time <= end for time in times) if held else None
        now = one.ingested_at
        times = [
            time for time in times if time >= self._newest() - 2 * spec.within - LATENESS
        ]  # older ones are forgotten
        starts = [start for start in times if start <= now < start + spec.within]
        most = max(sum(start <= time < start + spec.within for time in times) for start in starts)
        return most if most >= spec.times else None

    def _reached_since(self, within: int) -> int | None:
        """The first look of the newest run of looks that found the share reached, no two of them further apart than a window."""
        since = None
        for of, end, reached in reversed(self.looks):
            if of != self.since or not reached or (since is not None and since - end > within):
                break
            since = end
        return since

    # --- what people are told -------------------------------------------------------------------------------------

    def _firing_id(self, rule: RuleVersion, group: tuple[str, ...], trigger: str) -> str:
        return hashed(rule.project, rule.name, rule.spec.window_version, orjson.dumps(group).decode(), trigger)

    def _fire(self, rule: RuleVersion, firing_id: str, moment: int, subjects: int, at: Position) -> dict[str, Any]:
        self.firings[firing_id] = moment
        if self.alert is None:
            self.alert, kind = Alert(firing_id, moment, rule.spec.severity, subjects), "fired"
        else:
            self.alert.change, self.alert.renotified, kind = (
                self.alert.change + 1,
                self.alert.renotified + 1,
                "renotified",
            )
            self.alert.severity = rule.spec.severity
        until = moment + rule.spec.cooldown
        firing = {"firing_id": firing_id, "cooldown_until": until, "subjects": subjects, "rule_version": rule.version}
        self.alert.last_firing = firing
        told = self._told(self.alert, kind, moment, at)
        self.suppressed = 0
        return told

    def _told(self, alert: Alert, kind: str, changed_at: int, at: Position, by: str = "") -> dict[str, Any]:
        newest = sorted(
            (one for since, one in self.evidence if since == self.since),
            key=lambda one: (one.ingested_at, one.subject_id),
        )
        return {
            "alert_id": alert.alert_id,
            "change": alert.change,
            "kind": kind,
            "state": alert.state,
            "severity": alert.severity,
            "fired_at": alert.fired_at,
            "changed_at": changed_at,
            "renotified": alert.renotified,
            "matched": alert.matched,
            "suppressed": self.suppressed,
            "by": by,
            "until": alert.until,
            "evidence": tuple(newest[-10:]),
            "events_offset": at.offset,
            **alert.last_firing,
        }

    def _ended(self, rule: RuleVersion | None, at: Position, by: str = "") -> dict[str, Any]:
        assert self.alert is not None
        self.alert.state, self.alert.change = "resolved", self.alert.change + 1
        told = self._told(self.alert, "resolved", at.appended_at, at, by)
        self.alert, self.suppressed = None, 0
        return {**told, **({"rule_version": rule.version} if rule else {})}

    def _command(self, rule: RuleVersion, said: Command, at: Position) -> Iterator[dict[str, Any]]:
        if said.command_id in self.commands:
            return
        self.commands.add(said.command_id)
        if self.alert is None or self.alert.alert_id != said.alert_id:
            return
        if said.action == "resolve":
            yield self._ended(rule, at, said.by)
            return
        if said.action == "acknowledge":
            if self.alert.state == "acknowledged":
                return
            self.alert.state = "acknowledged"
        else:
            self.alert.until = said.until
        self.alert.change += 1
        kind = "acknowledged" if said.action == "acknowledge" else "snoozed"
        self.alert.last_firing = {**self.alert.last_firing, "rule_version": rule.version}
        yield self._told(self.alert, kind, at.appended_at, at, said.by)

    # --- silence --------------------------------------------------------------------------------------------------

    def _traffic(self, rule: RuleVersion, at: Position) -> Iterator[dict[str, Any]]:
        if at.appended_at <= self.heard_at:
            return
        self.heard_at = at.appended_at
        if self.alert:
            yield self._ended(rule, at)

    def tick(self, rule: RuleVersion | None, group: tuple[str, ...], at: Position) -> list[dict[str, Any]]:
        now = at.appended_at
        if now <= max(self.heard_at, self.ticked_at):
            return []
        if self.alert:
            gone = rule is None or not rule.spec.enabled
            silent = rule and not rule.spec.no_traffic and now - self.heard_at >= rule.spec.resolve_after_ms
            if not (gone or silent):
                return []
            self.ticked_at = now
            return [self._ended(rule, at)]
        if rule is None or not rule.spec.enabled or not rule.spec.no_traffic or not self.heard_at:
            return []
        since, fired_at = max(self.heard_at, rule.effective_at), max(self.firings.values(), default=0)
        quiet = not fired_at or now - fired_at >= rule.spec.cooldown
        if fired_at > since or now - since < rule.spec.no_traffic or not quiet:
            return []
        self.ticked_at = now
        return [self._fire(rule, self._firing_id(rule, group, f"silence:{since}"), now, 0, at)]


def _held_since(times: list[int], wanted: int, within: int, end: int) -> int | None:
    """Looks at every moment at which the number in the window changes, backwards from the end."""
    moments = sorted(set(times) | {time + within for time in times})
    since = None
    for moment in reversed([moment for moment in moments if moment <= end]):
        if sum(moment - within < time <= moment for time in times) < wanted:
            break
        since = moment
    return since


def told(change: AlertChange) -> dict[str, Any]:
    """Returns of a change what the reference tells."""
    return {name: getattr(change, name) for name in TOLD}
