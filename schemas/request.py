"""Score requests: everything of one chunk or example that one class of scorers has to judge."""

from typing import Literal

from pydantic import Field

from schemas.record import Record
from schemas.span import Origin
from schemas.subject import Subject

ScorerClass = Literal["code", "hosted", "judge"]


class Pair(Record):
    """One scorer version asked for one subject."""

    subject: int = Field(description="index into the request's subjects")
    scorer: str
    version: str = Field(
        description="stamped on the score; differs from base_version when the request overrides something"
    )
    base_version: str = Field(description="the configured version whose code and settings run")
    threshold: float | None = Field(default=None, description="override; None: the configured one")
    model: str = ""
    options: str = ""
    sampling_rate: float = 1.0
    why: str = ""
    tries: int = Field(default=0, description="how often it was tried before it had to wait")
    give_up_at: int = Field(
        default=0, description="of a pair that has waited, milliseconds: after it, it waits no more; 0: it has not"
    )


class ScoreRequest(Record):
    """What one class of scorers has to judge of one trace chunk or example."""

    project: str
    trace_id: str = Field(default="", description="empty for an example without a trace")
    ingested_at: int
    origin: Origin = "online"
    run_id: str = ""
    attempt: int = Field(default=0, description="n: a late span made a trace another, the nth time; moves no rule")
    subjects: tuple[Subject, ...] = ()
    pairs: tuple[Pair, ...] = ()
