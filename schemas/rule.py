"""Rule events: what moves a rule's state for one group."""

from typing import Literal

from pydantic import Field

from schemas.record import Record
from schemas.subject import SubjectKind

CommandAction = Literal["acknowledge", "resolve", "snooze"]


class Evaluated(Record):
    """A subject that a rule evaluated."""

    subject_kind: SubjectKind
    subject_id: str
    ingested_at: int
    matched: bool = True
    value: float | None = None
    reason: str = Field(default="", description="at most 300 characters")
    trace_id: str = ""
    span_id: str = ""


class Command(Record):
    """What a person told an alert."""

    command_id: str
    action: CommandAction
    alert_id: str
    by: str = ""
    note: str = ""
    until: int = Field(default=0, description="end of a snooze in milliseconds")


class RuleEvent(Record):
    """The subjects evaluated for one rule version and group in one poll batch, or a command."""

    project: str
    rule: str
    rule_version: str
    group: tuple[str, ...] = Field(
        default=(), description="values of the rule's group_by, in its order; absent ones are empty"
    )
    group_key: str = Field(default="{}", description="JSON object of group_by and its values, keys sorted")
    evaluated: tuple[Evaluated, ...] = ()
    command: Command | None = None


class RuleCondition(Record):
    """A satisfied condition of a rule that has several; `complete` collects them by trace."""

    project: str
    trace_id: str
    rule: str
    rule_version: str
    condition: int
    group: tuple[str, ...] = ()
    evaluated: Evaluated


class Tick(Record):
    """Written by a job into each partition it owns; its append time is the time that ends things by silence."""

    job: str
