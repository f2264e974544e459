import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.codec import Undecodable
from schemas.otlp.decode import decode, looks_like_json
from schemas.otlp.raw import Export, RawEvent, RawSpan

TRACE, SPAN, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef", "fedcba9876543210"


def as_json(**span: object) -> bytes:
    told = {"traceId": TRACE, "spanId": SPAN, **span}
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [told]}]}]})


def test_the_json_of_the_specification_is_read() -> None:
    body = as_json(
        parentSpanId=PARENT.upper(),
        name="chat",
        startTimeUnixNano="1544712660000000000",
        endTimeUnixNano=1544712661000000000,
        status={"code": "STATUS_CODE_ERROR", "message": "no"},
        attributes=[
            {"key": "text", "value": {"stringValue": "x"}},
            {"key": "int", "value": {"intValue": "-5"}},
            {"key": "list", "value": {"array_value": {"values": [{"doubleValue": 1}, {"boolValue": True}, {}]}}},
            {"key": "object", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"bytesValue": "AQ=="}}]}}},
            {"key": "nothing"},
        ],
        events=[{"name": "exception", "timeUnixNano": 7, "droppedAttributesCount": 1}],
        kind="SPAN_KIND_CLIENT",
        unknownField={"a": 1},
    )
    attributes = [("text", "x"), ("int", -5), ("list", [1.0, True, None]), ("object", {"a": "AQ=="}), ("nothing", None)]
    assert decode(b" \n" + body) == Export(
        [
            RawSpan(
                TRACE, SPAN, PARENT, "chat", 1544712660000000000, 1544712661000000000, 2, "no",
                attributes, [RawEvent("exception", 7, [])], "", 0,
            )
        ],
        [[]],
        {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trace_id", "span_id", "reason"),
    [
        (b"\0" * 16, b"\1" * 8, "bad_trace_id"),
        (b"\1" * 8, b"\1" * 8, "bad_trace_id"),
        (b"", b"\1" * 8, "bad_trace_id"),
        (b"\1" * 16, b"\0" * 8, "bad_span_id"),
        (b"\1" * 16, b"\1" * 16, "bad_span_id"),
    ],
)
def test_a_span_without_proper_ids_is_dropped_and_the_rest_is_kept(
    trace_id: bytes, span_id: bytes, reason: str
) -> None:
    good = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8, "parent_span_id": b"\0" * 8}
    spans = [{"trace_id": trace_id, "span_id": span_id}, good]
    export = decode(ExportTraceServiceRequest(resource_spans=[{"scope_spans": [{"spans": spans}]}]).SerializeToString())
    assert [(span.span_id, span.parent_span_id) for span in export.spans] == [("02" * 8, "")]
    assert export.dropped == {reason: 1}


def test_ids_in_json_that_are_not_hexadecimal_are_dropped() -> None:
    assert decode(as_json(traceId="W47/95gDgQPSabYzgT/GDA==")).dropped == {"bad_trace_id": 1}
    assert decode(as_json(spanId="zzzzzzzzzzzzzzzz")).dropped == {"bad_span_id": 1}


def test_an_empty_body_is_an_empty_export() -> None:
    assert decode(b"") == Export([], [], {})
    assert decode(b"{}") == Export([], [], {})


def test_protobuf_that_begins_like_json_is_read_as_protobuf() -> None:
    request = ExportTraceServiceRequest(
        resource_spans=[{"scope_spans": [{"spans": [{"trace_id": b"\1" * 16, "span_id": b"\2" * 8}]}]}]
    )
    name = request.resource_spans[0].scope_spans[0].spans[0]
    while request.resource_spans[0].ByteSize() < 123:
        name.name += "n"
    body = request.SerializeToString()
    assert body.startswith(b"\n{")
    assert looks_like_json(body)
    assert [span.span_id for span in decode(body).spans] == ["02" * 8]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xff\xff", "not a protobuf ExportTraceServiceRequest"),
        (b"\n\x05abc", "not a protobuf ExportTraceServiceRequest"),
        (b"{", "not JSON"),
        (b'{"resourceSpans": 5}', "resourceSpans is 5, no array"),
        (b'{"resourceSpans": [5]}', "resourceSpans holds 5, no object"),
        (as_json(name=5), "name is 5, no text"),
        (as_json(startTimeUnixNano="soon"), "startTimeUnixNano is 'soon', no 64-bit number of nanoseconds"),
        (as_json(startTimeUnixNano=-1), "startTimeUnixNano is -1, no 64-bit number of nanoseconds"),
        (as_json(status=[]), "status is [], no object"),
        (as_json(attributes=[{"key": "a", "value": "b"}]), "an attribute's value is 'b', no AnyValue object"),
        (as_json(attributes=[{"key": "a", "value": {"intValue": 2**63}}]), "an intValue is 9223372036854775808"),
        (as_json(attributes=[{"key": "a", "value": {"boolValue": "x" * 99}}]), f"a boolValue is '{'x' * 39}…"),
    ],
)
def test_what_is_no_export_is_undecodable_and_tells_why(body: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(body)
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize("levels", [70, 250, 400, 2000])
def test_values_nested_without_end_are_undecodable(levels: int) -> None:
    value = '{"arrayValue":{"values":[' * levels + '{"intValue":1}' + "]}}" * levels
    body = as_json(attributes=[{"key": "a", "value": {}}]).replace(b'"value":{}', f'"value":{value}'.encode())
    with pytest.raises(Undecodable):
        decode(body)
