"""What log events say about spans, and spans that wait for it: joined by trace and span id in the job `complete`."""

from pydantic import Field

from schemas.record import Record
from schemas.span import TraceChunk


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
    """Spans of one trace that wait for their content, or content of spans of one trace."""

    project: str
    trace_id: str = Field(description="32 lower-case hex digits")
    waiting: TraceChunk | None = None
    events: tuple[ContentEvent, ...] = ()
