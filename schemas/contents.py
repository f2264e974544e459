"""What the job `complete` puts together by trace: spans with what log events say about them, whole traces, context."""

from pydantic import Field

from schemas.record import Record
from schemas.score import Score
from schemas.span import SpanContext, TraceChunk


class ContentEvent(Record):
    """What one log event says about one span's input and output. Two that are equal are one that was sent twice."""

    span_id: str = Field(description="16 lower-case hex digits")
    time: int = Field(
        default=0, description="nanoseconds since the epoch, by the client's clock; orders a span's messages"
    )
    position: int = Field(
        default=0, description="among the events of its export; orders what happened at the same time"
    )
    input: str | None = Field(default=None, description="JSON text: one message, or the whole input when `whole`")
    output: str | None = Field(default=None, description="JSON text: one message, or the whole output when `whole`")
    whole: bool = Field(default=False, description="this event alone says everything")
    silent: bool = Field(
        default=False, description="a message whose text was not recorded: it counts, but says nothing"
    )


class SpanContents(Record):
    """Parts of one trace that cannot go on by themselves, and what helps others of it to go on."""

    project: str
    trace_id: str = Field(description="32 lower-case hex digits")
    waiting: TraceChunk | None = Field(default=None, description="spans that wait for their content")
    events: tuple[ContentEvent, ...] = Field(default=(), description="content of spans")
    spans: TraceChunk | None = Field(
        default=None,
        description="spans of a trace that is judged as a whole, or that lack context which a filter or group asks for",
    )
    scores: tuple[Score, ...] = Field(default=(), description="of spans that lack context which a rule asks for")
    context: tuple[SpanContext, ...] = Field(
        default=(), description="what other spans of the trace may have from these"
    )
