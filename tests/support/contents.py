"""Spans that wait for their content, and what log events tell of them."""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from schemas.contents import ContentEvent, SpanContents
from schemas.span import Span, TraceChunk
from tests.support import bridge

TRACE = "a1" * 16


def span_id(number: int) -> str:
    return f"{number + 1:016x}"


def waiting(*numbers: int, project: str = "shop", **further: object) -> SpanContents:
    """Spans of one trace that wait; `further` are fields of each."""
    spans = tuple(Span.model_validate({"span_id": span_id(n), "kind": "llm", **further}) for n in numbers)
    chunk = TraceChunk(
        project=project, trace_id=TRACE, ingested_at=1, resources=({"service.name": "shop"},), spans=spans
    )
    return SpanContents(project=project, trace_id=TRACE, waiting=chunk)


def told(*events: ContentEvent, project: str = "shop") -> SpanContents:
    return SpanContents(project=project, trace_id=TRACE, events=events)


def asked(number: int, text: str = "hello", *, time: int = 1, silent: bool = False) -> ContentEvent:
    return ContentEvent(span_id=span_id(number), time=time, input=f'"{text}"', silent=silent)


def answered(number: int, text: str = "hi", *, time: int = 2, silent: bool = False) -> ContentEvent:
    return ContentEvent(span_id=span_id(number), time=time, output=f'"{text}"', silent=silent)


def log_export(*records: dict[str, Any], shared: str = "") -> ExportLogsServiceRequest:
    """An export of log records; events of one span unless they say otherwise."""
    made = ExportLogsServiceRequest()
    group = made.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = f"shop{shared}"
    logs = group.scope_logs.add()
    for record in records:
        text = record.pop("text", "")
        logs.log_records.add(**{"trace_id": bridge.TRACE, "span_id": bridge.SPAN, **record}).body.string_value = text
    return made
