"""Random logs of rule events for one rule and group: late, repeated, edited, commanded, with the counter's own ticks."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import RuleState
from streams.logic.rules import Position, RuleVersion, Step, step, tick

SECOND, MINUTE = 1000, 60_000
START = 1_700_000_000_000
GROUP = ("ann",)
FORMS: tuple[dict[str, Any], ...] = (
    {"times": 3, "within": "2m"},
    {"times": 1, "within": "10s"},
    {"times": 2, "within": "1m", "sustained": "2m"},
    {"times": 1, "within": "30s", "sustained": "1m"},
    {"rate": {"share": 0.5, "of": 3}, "within": "2m"},
    {"rate": {"share": 0.34, "of": 2}, "within": "1m", "sustained": "1m"},
    {"rate": {"share": 0.9, "of": 1}, "within": "30s", "sustained": "1m"},
    {"no_traffic": "1m"},
)
GAPS = (
    0,
    0,
    1,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND - 1,
    30 * SECOND,
    MINUTE - 1,
    MINUTE,
    2 * MINUTE,
    11 * MINUTE,
)
LATE = (0, 0, 0, 0, 1, SECOND, 10 * SECOND, MINUTE, 5 * MINUTE, 12 * MINUTE)


@dataclass(frozen=True)
class Entry:
    """What stands at one offset: an event with the rule that folds it, or a tick (no event)."""

    at: Position
    rule: RuleVersion | None
    event: RuleEvent | None = None


def folded(entry: Entry, state: RuleState | None) -> Step:
    """Folds one entry as the counter does."""
    if entry.event is not None:
        assert entry.rule is not None
        return step(entry.rule, state, entry.event, entry.at)
    return tick(entry.rule, state, entry.at) if state is not None else Step(None, (), {})


@dataclass
class Writer:
    """Writes one log. It folds what it writes, since commands name alerts that are there."""

    choose: Random
    now: int = START
    log: list[Entry] = field(default_factory=list)
    versions: list[tuple[int, RuleVersion | None]] = field(default_factory=list)
    subjects: dict[int, int] = field(default_factory=dict)
    state: RuleState | None = None
    told: list[AlertChange] = field(default_factory=list)

    def write(self) -> list[Entry]:
        self.form = self.choose.choice(FORMS)
        self.edit(conditions=True, enabled=True)
        self.now += 60 * MINUTE
        for _ in range(self.choose.randint(4, 45)):
            self.now += self.choose.choice(GAPS)
            self.choose.choices((self.event, self.tick, self.command, self.anything), (60, 20, 12, 4))[0]()
        self.now += 200 * MINUTE
        self.tick()
        return self.log

    def anything(self) -> None:
        self.edit(conditions=self.choose.random() < 0.3, enabled=self.choose.random() < 0.8)

    def edit(self, *, conditions: bool, enabled: bool) -> None:
        old, effective_at = self.versions[-1][1] if self.versions else None, self.now + 2 * SECOND
        since = effective_at if conditions or old is None else old.window_since
        knobs = {
            "when": {"all": [{"scorer": f"scorer {since}", "is": "fails"}]},
            "group_by": ["agent"],
            "enabled": enabled,
            "cooldown": self.choose.choice(("0s", "1ms", "30s", "5m", "30m")),
            "severity": self.choose.choice(("info", "critical")),
            **({} if "no_traffic" in self.form else {"resolve_after": self.choose.choice(("0s", "30s", "10m", "2h"))}),
        }
        spec = RuleSpec.model_validate({**knobs, **self.form})
        deleted = self.choose.random() < 0.1 and self.versions
        rule = None if deleted else RuleVersion("p", "r", f"v{effective_at}", spec, since, effective_at)
        self.versions.append((effective_at, rule))

    def in_effect(self, time: int) -> RuleVersion | None:
        return next((rule for since, rule in reversed(self.versions) if since <= time), None)

    def event(self) -> None:
        by_rule: dict[RuleVersion, list[Evaluated]] = defaultdict(list)
        for _ in range(self.choose.choice((1, 1, 1, 2, 4))):
            number = self.choose.randrange(70)
            ingested_at = self.subjects.setdefault(number, self.now - self.choose.choice(LATE))
            rule = self.in_effect(ingested_at)
            if rule is None or not rule.spec.enabled:
                continue
            matched = self.choose.random() < 0.55 or not rule.spec.needs_unmatched
            by_rule[rule].append(
                Evaluated(subject_kind="span", subject_id=str(number), ingested_at=ingested_at, matched=matched)
            )
        for rule, evaluated in by_rule.items():
            self._append(rule, self._event(rule, evaluated=tuple(evaluated)))

    def command(self) -> None:
        rule = self.in_effect(self.now)
        if not self.told or rule is None:
            return
        action = self.choose.choice(("acknowledge", "resolve", "snooze"))
        alert_id = self.choose.choice((self.told[-1].alert_id,) * 4 + (self.told[0].alert_id, "none"))
        said = {"command_id": f"c{len(self.log)}", "action": action, "alert_id": alert_id, "by": "ann"}
        until = self.now + MINUTE if action == "snooze" else 0
        self._append(rule, self._event(rule, command=Command.model_validate({**said, "until": until})))

    def tick(self) -> None:
        self._append(self.in_effect(self.now), None)

    def _event(self, rule: RuleVersion, **further: Any) -> RuleEvent:
        return RuleEvent(project="p", rule="r", rule_version=rule.version, group=GROUP, **further)

    def _append(self, rule: RuleVersion | None, event: RuleEvent | None) -> None:
        entry = Entry(Position(3, len(self.log), self.now), rule, event)
        self.log.append(entry)
        done = folded(entry, self.state)
        self.state = done.state
        self.told += done.changes


def logs(seed: int, number: int) -> Iterator[list[Entry]]:
    """Yields random logs, the same ones for a seed."""
    choose = Random(seed)
    for _ in range(number):
        yield Writer(choose).write()
