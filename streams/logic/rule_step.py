"""What the fold of a rule takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.rule_state import RuleState


@dataclass(frozen=True)
class RuleVersion:
    """One version of a rule, as in effect for the events it is given with."""

    project: str
    name: str
    version: str
    spec: RuleSpec
    window_since: int = 0
    """When its conditions took effect: edits of times, within, cooldown or actions keep it."""
    effective_at: int = 0
    """When this version took effect."""


@dataclass(frozen=True)
class Position:
    """Where an event stands on `vedette.rule-events`, and when Kafka appended it."""

    partition: int
    offset: int
    appended_at: int


@dataclass(frozen=True)
class Step:
    """What one event did."""

    state: RuleState | None
    """The new state; None when nothing is left to remember. The very state that came in when nothing changed."""
    changes: tuple[AlertChange, ...]
    """Alert changes to write, those of an event met again included."""
    why: Mapping[str, int]
    """How many subjects were counted, fired, renotified, suppressed, duplicate, too late ..."""
