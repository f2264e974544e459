"""The normaliser beside a bare walk: the same bodies parsed by protobuf and every attribute's value looked at."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from schemas.topics import Topic
from streams import garbage
from streams.normalise import normalised
from streams.records import Received
from tests.bench.figures import told
from tests.support.traffic import SPANS_OF_A_TRACE, Traffic

TRACES, BODIES, ROUNDS = 20, 20, 9

pytestmark = pytest.mark.bench


@pytest.fixture(autouse=True)
def _garbage_as_in_a_job() -> Iterator[None]:
    before = gc.get_threshold()
    garbage.look_seldom()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def walk(body: bytes) -> list[dict[str, object]]:
    """Returns every span as a dict of its fields and attributes: the least that anything does that looks at them."""
    spans: list[dict[str, object]] = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        of_resource = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                fields: dict[str, object] = {
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "resource": of_resource,
                    "scope": scope.scope.name,
                    "events": [(event.name, attributes(event.attributes)) for event in span.events],
                    "attributes": attributes(span.attributes),
                }
                spans.append(fields)
    return spans


def attributes(given: Iterable[KeyValue]) -> dict[str, object]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in given}


def _rate(work: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """Returns spans per CPU-second."""
    began = time.process_time()
    for body in bodies:
        work(body)
    return len(bodies) * TRACES * SPANS_OF_A_TRACE / (time.process_time() - began)


def _whole(body: bytes) -> list[bytes]:
    """What the job does between poll and produce."""
    received = Received(Topic.OTLP_SPANS, 0, 0, 1_795_399_605_000, None, body, {"vedette-project": b"shop"}, None)
    return [out.encoded().value for out in normalised([received])]  # type: ignore[misc]


def test_the_normaliser_beside_a_bare_walk() -> None:
    traffic = Traffic()
    bodies = [traffic.body(TRACES, time.time_ns()) for _ in range(BODIES)]
    _rate(_whole, bodies[:5]), _rate(walk, bodies[:5])
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(_rate(_whole, bodies))
        bare.append(_rate(walk, bodies))
    size = sum(map(len, bodies)) / (BODIES * TRACES * SPANS_OF_A_TRACE)
    assert told("normaliser", ">= 0.25 of a bare protobuf attribute walk, spans per CPU-second", ours, bare, span_bytes=round(size)) > 0  # fmt: skip
