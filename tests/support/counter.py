"""One rule and group, with events and ticks in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.alert import AlertChange
from schemas.documents.base import format_duration, parse_duration
from schemas.documents.rule import RuleSpec
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import RuleState
from streams.logic.rules import Position, RuleVersion, Step, step, tick

NOON = 1_700_000_000_000


def time(text: str) -> int:
    """`3m20s`, or `3m20s-1ms`, after noon."""
    after, _, less = text.partition("-")
    return NOON + parse_duration(after) - (parse_duration(less) if less else 0)


@dataclass
class Counter:
    """One rule and group. Subjects are named by the time at which they matched, unless a name is given."""

    knobs: dict[str, Any] = field(default_factory=lambda: {"times": 3, "within": "5m", "cooldown": "30m"})
    state: RuleState | None = None
    changes: list[AlertChange] = field(default_factory=list)
    why: dict[str, int] = field(default_factory=dict)
    offset: int = 0
    edited: int = 0
    effective_at: int = 0
    deleted: bool = False

    @property
    def rule(self) -> RuleVersion:
        spec = {"when": {"all": [{"scorer": f"scorer {self.edited}", "is": "fails"}]}, "group_by": ["agent"]}
        version = ",".join(f"{name}={value}" for name, value in {**self.knobs, "scorer": self.edited}.items())
        return RuleVersion(
            "p", "r", version, RuleSpec.model_validate({**spec, **self.knobs}), self.edited, self.effective_at
        )

    def edit(self, *, conditions: bool = False, **knobs: Any) -> None:
        self.knobs = {**self.knobs, **knobs}
        self.edited += conditions

    def push(self, *at: str, subject: str = "", appended: str = "", matched: bool = True) -> list[str]:
        """Folds one record of matches; returns what they told."""
        evaluated = tuple(
            Evaluated(subject_kind="span", subject_id=subject or t, ingested_at=time(t), matched=matched) for t in at
        )
        return self._step({"evaluated": evaluated}, appended or max(at, key=time))

    def command(self, action: str, at: str, command_id: str = "", alert_id: str = "", until: str = "") -> list[str]:
        """Folds what ann tells the newest alert, or the one that is named."""
        told = {"command_id": command_id or at, "action": action, "by": "ann", "until": time(until) if until else 0}
        newest = self.changes[-1].alert_id if self.changes else "none"
        return self._step({"command": Command.model_validate({**told, "alert_id": alert_id or newest})}, at)

    def _step(self, event: dict[str, Any], appended: str) -> list[str]:
        self.offset += 1
        whole = RuleEvent(project="p", rule="r", rule_version=self.rule.version, group=("ann",), **event)
        return self._told(step(self.rule, self.state, whole, Position(0, self.offset, time(appended))))

    def tick(self, at: str) -> list[str]:
        assert self.state is not None
        self.offset += 1
        return self._told(tick(None if self.deleted else self.rule, self.state, Position(0, self.offset, time(at))))

    def _told(self, done: Step) -> list[str]:
        self.state, self.why = done.state, dict(done.why)
        self.changes += done.changes
        return [change.kind for change in done.changes]

    def told(self) -> Iterator[str]:
        """Every change in a line."""
        for change in self.changes:
            fields = f"subjects={change.subjects} matched={change.matched} suppressed={change.suppressed}"
            after = format_duration(change.changed_at - NOON)
            yield f"{change.change} {change.kind} at {after}: {fields}"
