"""Alert changes: the numbered history of an alert, written by the counter alone."""

from typing import Literal

from pydantic import Field

from schemas.record import Record
from schemas.rule import Evaluated

AlertState = Literal["firing", "acknowledged", "resolved"]
ChangeKind = Literal["fired", "renotified", "acknowledged", "snoozed", "resolved"]


class AlertChange(Record):
    """One change of one alert."""

    project: str
    rule: str
    rule_version: str
    group: tuple[str, ...] = ()
    group_key: str = Field(default="{}", description="JSON object of group_by and its values, keys sorted")
    alert_id: str = Field(description="the firing that opened the alert")
    change: int = Field(description="0 is the firing that opened it")
    kind: ChangeKind
    state: AlertState
    severity: str = "warning"
    firing_id: str = Field(default="", description="of the latest firing")
    fired_at: int = Field(description="ingest time of the match that opened the alert, milliseconds")
    changed_at: int = Field(description="time of what caused this change, milliseconds")
    cooldown_until: int = 0
    renotified: int = Field(default=0, description="firings after the one that opened the alert")
    subjects: int = Field(default=0, description="distinct subjects in the firing window")
    matched: int = Field(default=0, description="distinct subjects that matched since the alert opened")
    suppressed: int = Field(default=0, description="matches since the last telling change that fired nothing")
    cause: str = Field(default="", description="why: a sentence")
    by: str = ""
    until: int = Field(default=0, description="end of the alert's newest snooze in milliseconds")
    evidence: tuple[Evaluated, ...] = Field(default=(), description="the newest ten matches")
    events_partition: int = Field(default=-1, description="where on vedette.rule-events the cause stands")
    events_offset: int = -1
