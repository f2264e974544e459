"""The bytes of an `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, protobuf or JSON, to plain spans and events.

The wire format is https://github.com/open-telemetry/opentelemetry-proto (docs/specification.md).
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from schemas.codec import Undecodable
from schemas.otlp.decode_json import decode_json, decode_json_logs
from schemas.otlp.raw import Attributes, Export, RawEvent, RawLog, RawSpan, Value, bad_id, event_name, parent_of

T = TypeVar("T")

_SNIFFED = 64
_FIELD_1 = 0x0A
"""The first byte of every protobuf export that is not empty; in JSON it is a line feed."""


def decode(body: bytes) -> Export:
    """Returns the spans of an export request in the order in which they were sent.

    Spans without proper ids are left out and counted in `dropped`.

    Raises:
        Undecodable: the bytes are neither the protobuf nor the JSON form.
    """
    return _either(body, _protobuf, decode_json)


def decode_logs(body: bytes) -> list[RawLog]:
    """Returns the events of spans that are in an export of logs, in the order in which they were sent.

    Log records without a name or without proper ids are left out: they are no events of a span.

    Raises:
        Undecodable: the bytes are neither the protobuf nor the JSON form.
    """
    return _either(body, _protobuf_logs, decode_json_logs)


def _either(body: bytes, protobuf: Callable[[bytes], T], json: Callable[[bytes], T]) -> T:
    if not looks_like_json(body):
        return protobuf(body)
    try:
        return json(body)
    except Undecodable:
        # a line feed and a brace also begin the protobuf of an export whose first resource takes 123 bytes
        if body[0] == _FIELD_1:
            return protobuf(body)
        raise


def looks_like_json(body: bytes) -> bool:
    """Returns whether the first byte that is no white space opens a JSON object."""
    return body[:_SNIFFED].lstrip()[:1] == b"{"


def _protobuf(body: bytes) -> Export:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise Undecodable(f"not a protobuf ExportTraceServiceRequest: {error} ({len(body)} bytes)") from error
    export = Export([], [], {})
    for group in request.resource_spans:
        export.resources.append(_attributes(group.resource.attributes))
        for scoped in group.scope_spans:
            scope = scoped.scope.name
            for span in scoped.spans:
                _add(export, span, scope)
    return export


def _protobuf_logs(body: bytes) -> list[RawLog]:
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise Undecodable(f"not a protobuf ExportLogsServiceRequest: {error} ({len(body)} bytes)") from error
    records = (r for group in request.resource_logs for scoped in group.scope_logs for r in scoped.log_records)
    return list(_logs(records))


def _logs(records: Iterator[LogRecord]) -> Iterator[RawLog]:
    for record in records:
        trace_id, span_id = record.trace_id.hex(), record.span_id.hex()
        if bad_id(trace_id, span_id) is not None:
            continue
        attributes = _attributes(record.attributes)
        name = event_name(record.event_name, attributes)
        if name:
            time_ns = record.time_unix_nano or record.observed_time_unix_nano
            yield RawLog(trace_id, span_id, name, time_ns, _value(record.body), attributes)


def _add(export: Export, span: SpanMessage, scope: str) -> None:
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    reason = bad_id(trace_id, span_id)
    if reason is not None:
        export.dropped[reason] = export.dropped.get(reason, 0) + 1
        return
    status = span.status
    export.spans.append(
        RawSpan(
            trace_id,
            span_id,
            parent_of(span.parent_span_id.hex()),
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            status.code,
            status.message,
            _attributes(span.attributes),
            [RawEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events],
            scope,
            len(export.resources) - 1,
        )
    )


def _attributes(attributes: Any) -> Attributes:
    # most values are texts, and asking which field is set costs as much as reading one
    return [(each.key, each.value.string_value or _value(each.value)) for each in attributes]


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _object(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case scalar:
            return getattr(value, scalar)  # type: ignore[no-any-return]


def _object(pairs: Any) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}
