"""Canonical spans: what every dialect of OTLP becomes, once, in the normaliser."""

from typing import Literal

from pydantic import Field

from schemas.record import Record

SpanKind = Literal["llm", "tool", "agent", "retriever", "chain", "other"]
Status = Literal["unset", "ok", "error"]
Origin = Literal["online", "experiment", "replay"]


class Span(Record):
    """One span in our own words. Empty text means: the instrumentation did not say."""

    span_id: str = Field(description="16 lower-case hex digits")
    parent_span_id: str = Field(default="", description="empty for a root")
    name: str = Field(default="", description="the span's own name, as it was sent")
    kind: SpanKind = "other"
    start_time: int = Field(
        default=0, description="microseconds since the epoch, by the client's clock; only displayed"
    )
    duration_us: int = 0
    status: Status = "unset"
    status_message: str = ""
    agent: str = Field(default="", description="stable name: gen_ai.agent.name, else the class name")
    agent_instance: str = ""
    agent_id: str = Field(default="", description="one activation of the agent")
    parent_agent_id: str = ""
    agent_entry: bool = Field(default=False, description="the span by which the agent was entered")
    agent_version: str = ""
    session_id: str = ""
    customer_id: str = ""
    environment: str = ""
    service: str = ""
    model: str = Field(default="", description="the response's model, else the request's")
    provider: str = ""
    operation: str = Field(default="", description="gen_ai.operation.name or its equal")
    tool_name: str = ""
    input_tokens: int | None = Field(default=None, description="including cached ones")
    output_tokens: int | None = Field(default=None, description="including reasoning")
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    cost_usd: float | None = None
    cost_source: str = Field(
        default="", description="span: the instrumentation sent it; priced: computed from model and tokens"
    )
    input: str | None = Field(default=None, description="plain text or JSON text")
    output: str | None = Field(default=None, description="plain text or JSON text")
    attrs: dict[str, str] = Field(
        default={},
        description="attributes as sent, without those that became input or output; JSON text if not a string",
    )
    resource: int = Field(default=0, description="index into the chunk's resources")
    tags: tuple[str, ...] = ()
    events: str = Field(default="", description="span events as a JSON array")
    dialect: str = ""
    partial: bool = Field(default=False, description="sent before its end: stored, never scored")
    revision: int = Field(default=0, description="which update of the same span this is; the highest wins")
    cut: tuple[str, ...] = Field(default=(), description="names of the fields whose text was shortened")


class SpanContext(Record):
    """What a span says about who works for whom: all that its descendants may have from it."""

    span_id: str
    parent_span_id: str = ""
    agent: str = ""
    agent_instance: str = ""
    agent_id: str = ""
    agent_version: str = ""
    session_id: str = ""
    customer_id: str = ""
    environment: str = ""


class TraceChunk(Record):
    """The spans of one trace in one export."""

    project: str
    trace_id: str = Field(description="32 lower-case hex digits")
    ingested_at: int = Field(description="milliseconds since the epoch: when Kafka appended the raw record")
    origin: Origin = "online"
    run_id: str = Field(default="", description="empty for online traffic")
    amends: bool = Field(
        default=False,
        description="the spans were handed on before, without what they have now: stored, never judged again",
    )
    resources: tuple[dict[str, str], ...] = ()
    spans: tuple[Span, ...] = ()
    tags: tuple[str, ...] = Field(default=(), description="told of the trace itself, beside its spans")
