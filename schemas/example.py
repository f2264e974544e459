"""Examples: records of an agent's own fields, sent for evaluation."""

from pydantic import Field

from schemas.record import Record
from schemas.span import Origin


class ScorerRef(Record):
    """A scorer that an example asks for. A threshold, model or options of its own make a version of its own."""

    scorer: str
    version: str = Field(default="", description="empty: the version in effect at the example's ingest time")
    threshold: float | None = None
    model: str = ""
    options: str = Field(default="", description="JSON object, empty for none")


class GivenVerdict(Record):
    """A verdict that came with the example, made elsewhere."""

    scorer: str
    value: float | None = None
    label: str = ""
    reason: str = ""
    threshold: float | None = None
    error: str = ""


class Example(Record):
    """An example as the bridge accepted it. Its ingest time is the time Kafka appended this record."""

    project: str
    example_id: str
    fields: bytes = Field(description="a JSON object of the agent's own fields")
    scorers: tuple[ScorerRef, ...] = ()
    verdicts: tuple[GivenVerdict, ...] = ()
    sampling_rate: float = 1.0
    trace_id: str = ""
    span_id: str = ""
    session_id: str = ""
    customer_id: str = ""
    agent: str = ""
    agent_version: str = ""
    environment: str = ""
    tags: tuple[str, ...] = ()
    origin: Origin = "online"
    run_id: str = ""
