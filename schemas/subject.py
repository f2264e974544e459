"""Subjects: what is judged, with the context that filters, groups and messages want."""

from typing import Any, Literal

import orjson
from pydantic import Field

from schemas.example import Example
from schemas.ids import span_subject_id
from schemas.record import Record
from schemas.span import Span, TraceChunk

SubjectKind = Literal["span", "trace", "session", "example"]


class Subject(Record):
    """A span, trace, session or example as scorers and rules see it."""

    project: str
    kind: SubjectKind
    subject_id: str
    trace_id: str = ""
    span_id: str = ""
    span_name: str = ""
    span_kind: str = ""
    agent: str = ""
    agent_version: str = ""
    session_id: str = ""
    customer_id: str = ""
    environment: str = ""
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = Field(default={})
    numbers: dict[str, float] = Field(
        default={},
        description="duration_ms, cost_usd, tokens, input_tokens, output_tokens, error (0 or 1): those known",
    )
    fields: bytes = Field(
        default=b"{}", description="a JSON object: input and output of a span, the own fields of an example"
    )
    dialect: str = ""
    error_message: str = Field(
        default="", description="what went wrong: the span's status message, or the exception of one without a status"
    )

    def field(self, name: str) -> Any:
        """Returns a field's JSON value, or None when the subject lacks it."""
        return orjson.loads(self.fields).get(name)

    def text(self, name: str) -> str | None:
        """Returns a field as text (JSON text unless it is a string), or None when the subject lacks it."""
        value = self.field(name)
        return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def subject_of_span(chunk: TraceChunk, span: Span) -> Subject:
    """Returns a span as a subject."""
    texts = {name: text for name, text in (("input", span.input), ("output", span.output)) if text is not None}
    return Subject(
        project=chunk.project,
        kind="span",
        subject_id=span_subject_id(chunk.trace_id, span.span_id),
        trace_id=chunk.trace_id,
        span_id=span.span_id,
        span_name=span.name,
        span_kind=span.kind,
        agent=span.agent,
        agent_version=span.agent_version,
        session_id=span.session_id,
        customer_id=span.customer_id,
        environment=span.environment,
        tags=span.tags,
        attributes=span.attrs,
        numbers=numbers_of(span),
        fields=orjson.dumps(texts),
        dialect=span.dialect,
        error_message=error_message(span),
    )


def subject_of_example(example: Example) -> Subject:
    """Returns an example as a subject."""
    return Subject(
        project=example.project,
        kind="example",
        subject_id=example.example_id,
        trace_id=example.trace_id,
        span_id=example.span_id,
        agent=example.agent,
        agent_version=example.agent_version,
        session_id=example.session_id,
        customer_id=example.customer_id,
        environment=example.environment,
        tags=example.tags,
        fields=example.fields,
    )


def numbers_of(span: Span) -> dict[str, float]:
    """Returns the numbers of a span that are known, as `Subject.numbers` names them."""
    numbers = {"duration_ms": span.duration_us / 1000, "error": float(span.status == "error")}
    if span.cost_usd is not None:
        numbers["cost_usd"] = span.cost_usd
    if span.input_tokens is not None:
        numbers["input_tokens"] = float(span.input_tokens)
    if span.output_tokens is not None:
        numbers["output_tokens"] = float(span.output_tokens)
    if span.input_tokens is not None or span.output_tokens is not None:
        numbers["tokens"] = float((span.input_tokens or 0) + (span.output_tokens or 0))
    return numbers


def error_message(span: Span) -> str:
    """Returns what went wrong in a span, as `Subject.error_message` tells it."""
    if span.status == "error":
        return span.status_message
    if span.status == "ok" or '"exception"' not in span.events:
        return ""
    events = orjson.loads(span.events)
    told: dict[str, Any] = next((event["attributes"] for event in events if event["name"] == "exception"), {})
    return str(told.get("exception.message") or told.get("exception.type") or "")
