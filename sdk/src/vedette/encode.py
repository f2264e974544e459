"""Spans as OTLP, examples as JSON. It runs in the sender's thread, after the program has gone on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.trace import ReadableSpan

from vedette.freeze import NOTHING, dump
from vedette.outbox import ExampleItem, SpanItem

Redact = Callable[[str], str]

UNREDACTED = ("vedette.agent", "vedette.session_id", "vedette.customer_id", "vedette.environment", "vedette.span_kind", "vedette.tags", "gen_ai.agent.", "gen_ai.operation.", "gen_ai.request.", "gen_ai.provider.")  # fmt: skip
"""attributes that name, and hold nobody's words"""

FAILED = "[left out: the redaction hook failed]"


def traces(items: Sequence[SpanItem], resource: Mapping[str, Any], redact: Redact | None) -> tuple[bytes, int]:
    """Returns an ExportTraceServiceRequest, and how many spans could not be encoded.

    `resource` stands on the resource of every span, beside what its provider says.
    """
    groups: dict[tuple[int, int], tuple[ReadableSpan, list[Span]]] = {}
    failed = 0
    for item in items:
        span = item.span
        try:
            encoded = _span(item, redact)
        except Exception:
            failed += 1
            continue
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), (span, []))[1].append(encoded)
    told = [
        ResourceSpans(
            resource=Resource(attributes=_attributes({**first.resource.attributes, **resource}, None)),
            scope_spans=[ScopeSpans(scope=_scope(first), spans=spans)],
        )
        for first, spans in groups.values()
    ]
    return ExportTraceServiceRequest(resource_spans=told).SerializeToString(), failed


def examples(items: Sequence[ExampleItem], redact: Redact | None) -> bytes:
    """Returns the body of `/v1/examples`."""
    bodies = [{**item.body, "fields": hidden(item.body["fields"], redact)} for item in items]
    return json.dumps({"examples": bodies}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def hidden(value: Any, redact: Redact | None) -> Any:
    """Returns a frozen value with every text as the redaction hook leaves it."""
    if redact is None:
        return value
    if type(value) is str:
        try:
            found = redact(value)
        except Exception:
            return FAILED
        return found if isinstance(found, str) else FAILED
    if type(value) is dict:
        return {name: hidden(one, redact) for name, one in value.items()}
    return [hidden(one, redact) for one in value] if type(value) is list else value


def _span(item: SpanItem, redact: Redact | None) -> Span:
    span, recording = item.span, item.recording
    context, parent = span.context, span.parent
    if context is None:
        raise ValueError("a span without a context")
    attributes: dict[str, Any] = dict(span.attributes or {})
    if recording is not None:
        attributes = {**attributes, **recording.told}
        for name, value in (("vedette.input", recording.given), ("vedette.output", recording.returned)):
            if value is not NOTHING:
                attributes[name] = dump(hidden(value, redact))
    encoded = Span(
        trace_id=context.trace_id.to_bytes(16),
        span_id=context.span_id.to_bytes(8),
        parent_span_id=parent.span_id.to_bytes(8) if parent is not None else b"",
        flags=int(context.trace_flags) | 0x100 | (0x200 if parent is not None and parent.is_remote else 0),
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        name=_clean(span.name),
        kind=span.kind.value + 1,  # type: ignore[arg-type]
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
        attributes=_attributes(attributes, redact, own=recording is not None),
    )
    for event in span.events:
        told = _attributes(dict(event.attributes or {}), redact)
        encoded.events.add(name=_clean(event.name), time_unix_nano=event.timestamp, attributes=told)
    for link in span.links:
        told = _attributes(dict(link.attributes or {}), redact)
        encoded.links.add(
            trace_id=link.context.trace_id.to_bytes(16), span_id=link.context.span_id.to_bytes(8), attributes=told
        )
    if span.status.status_code.value:
        words = hidden(span.status.description or "", redact)
        encoded.status.CopyFrom(Status(code=span.status.status_code.value, message=_clean(words)))  # type: ignore[arg-type]
    return encoded


def _scope(span: ReadableSpan) -> InstrumentationScope:
    scope = span.instrumentation_scope
    return InstrumentationScope(name=scope.name, version=scope.version or "") if scope else InstrumentationScope()


def _attributes(attributes: Mapping[str, Any], redact: Redact | None, *, own: bool = False) -> list[KeyValue]:
    told = []
    for name, value in attributes.items():
        kept = value
        if redact is not None and not name.startswith(UNREDACTED) and not (own and name in _WRITTEN):
            kept = hidden(list(value) if isinstance(value, tuple) else value, redact)
        told.append(KeyValue(key=_clean(name), value=_value(kept)))
    return told


_WRITTEN = frozenset(("vedette.input", "vedette.output"))
"""written here, and redacted already"""


def _value(value: Any) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_clean(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if value.bit_length() < 64 else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Sequence):
        return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
    return AnyValue(string_value=_clean(str(value)))


def _clean(text: str) -> str:
    """Protobuf takes no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
