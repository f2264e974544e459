from collections import Counter

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.bridge import otlp, wire
from streams.bridge.answer import Refused
from streams.bridge.limits import Limits

LIMITS = Limits(spans=1000, json_containers=1000)
GOOD = (b"\1" * 16, b"\2" * 8)


def request(*ids: tuple[bytes, bytes], padding: int = 0) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    scope.scope.name = "lib"
    for trace_id, span_id in ids:
        scope.spans.add(trace_id=trace_id, span_id=span_id, name="n" * padding)
    return message.SerializeToString()


def ids(record: bytes) -> list[tuple[bytes, bytes]]:
    message = ExportTraceServiceRequest.FromString(record)
    return [(span.trace_id, span.span_id) for r in message.resource_spans for s in r.scope_spans for span in s.spans]


def test_a_good_body_is_one_record_of_the_bytes_that_came() -> None:
    body = request(GOOD, GOOD)
    assert otlp.accept(body, LIMITS, is_json=False) == otlp.Accepted((body,), 2, Counter())


def test_an_empty_body_is_no_record() -> None:
    assert otlp.accept(b"", LIMITS, is_json=False) == otlp.Accepted((), 0, Counter())
    assert otlp.accept(b"{}", LIMITS, is_json=True) == otlp.Accepted((), 0, Counter())


def test_spans_without_usable_ids_are_left_out_and_everything_around_stays() -> None:
    accepted = otlp.accept(request((b"", GOOD[1]), GOOD, (GOOD[0], bytes(8))), LIMITS, is_json=False)
    assert accepted == otlp.Accepted((request(GOOD),), 1, Counter({otlp.BAD_TRACE_ID: 1, otlp.BAD_SPAN_ID: 1}))


def test_more_spans_than_allowed_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        otlp.accept(request(*[GOOD] * 1001), LIMITS, is_json=False)
    assert refused.value.status == 413


def test_a_span_larger_than_a_record_is_left_out_and_the_others_are_split() -> None:
    large = request(*[(GOOD[0], bytes([n]) * 8) for n in range(1, 5)], padding=6 * 1024 * 1024)
    huge = request(GOOD, padding=otlp.RECORD_BYTES)
    accepted = otlp.accept(large + huge, LIMITS, is_json=False)
    assert [ids(record) for record in accepted.records] == [
        [(GOOD[0], bytes([n]) * 8) for n in pair] for pair in ((1, 2), (3, 4))
    ]
    assert accepted.rejected == Counter({otlp.TOO_LARGE: 1})
    assert max(map(len, accepted.records)) <= otlp.RECORD_BYTES


def test_a_length_that_points_outside_is_malformed() -> None:
    with pytest.raises(wire.Malformed):
        wire.groups(b"\x0a\x05\x12", 10)


def test_json_spans_are_checked_like_those_in_protobuf() -> None:
    def document(*spans: dict[str, str]) -> bytes:
        return orjson.dumps({"resourceSpans": [{"resource": {"a": 1}, "scopeSpans": [{"spans": list(spans)}]}]})

    good = {"traceId": "AB" * 16, "spanId": "cd" * 8}
    assert otlp.accept(document(good), LIMITS, is_json=True) == otlp.Accepted((document(good),), 1, Counter())
    accepted = otlp.accept(document({"traceId": "0" * 32, "spanId": "cd" * 8}, good), LIMITS, is_json=True)
    assert (accepted.records, accepted.rejected.total()) == ((document(good),), 1)


@pytest.mark.parametrize("body", [b"[]", b'{"resourceSpans": 1}', b'{"resourceSpans": [1]}', b"nope"])
def test_json_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        otlp.accept(body, LIMITS, is_json=True)
    assert refused.value.status == 400
