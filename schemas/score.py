"""Scores: one scorer's verdict on one subject, with the subject's context."""

from typing import Literal

from pydantic import Field

from schemas.record import Record
from schemas.span import Origin
from schemas.subject import SubjectKind

Outcome = Literal["pass", "fail", "scored", "error", "skipped"]


class Score(Record):
    """A verdict. `value` is 0..1 with 1 = good for every built-in; the raw number goes to `measured`."""

    project: str
    score_id: str
    scorer: str
    scorer_version: str
    subject_kind: SubjectKind
    subject_id: str
    outcome: Outcome
    ingested_at: int = Field(description="the subject's ingest time in milliseconds")
    ts: int = Field(default=0, description="when the verdict was made, in milliseconds")
    trace_id: str = ""
    span_id: str = ""
    span_name: str = ""
    span_kind: str = ""
    session_id: str = ""
    customer_id: str = ""
    agent: str = ""
    agent_version: str = ""
    environment: str = ""
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = Field(default={}, description="those that a rule in effect names")
    value: float | None = None
    threshold: float | None = None
    measured: float | None = None
    label: str = ""
    reason: str = ""
    latency_ms: float = 0.0
    cost_usd: float | None = None
    attempt: int = Field(
        default=0, description="0: the first verdict, the only one that reaches rules; n: the nth amendment"
    )
    tries: int = Field(default=1, description="how often the worker tried")
    late: bool = Field(default=False, description="it had to wait: for its scorer to exist, or until it could judge")
    sampling_rate: float = 1.0
    origin: Origin = "online"
    run_id: str = ""
