"""A Collector on the three ways that docs/collector.md shows: over HTTP and gRPC to the bridge, and straight to Kafka.

Its records are written as its kafka exporter writes them: without headers; without a key, or keyed by the trace id in hex.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import ValidationError
from ruamel.yaml import YAML

from schemas.ids import record_key
from schemas.record import MAX_RECORD_BYTES
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import kafka as kafka_client
from streams import topics
from streams.local.ports import free_port
from streams.loop import Loop
from streams.settings import Settings, load
from tests.support.bridge import make_key, records, start_bridge, stop_bridge, wait_known
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs/collector.md").read_text()
ONE, TWO = b"\1" * 16, b"\2" * 16
LOG_APPEND_TIME = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_RECORD_BYTES)}


def batch(resources: Mapping[str, list[tuple[bytes, bytes]]]) -> ExportTraceServiceRequest:
    """Returns what the Collector has at hand: the (trace id, span id) pairs of each service."""
    request = ExportTraceServiceRequest()
    for service, spans in resources.items():
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        scope = group.scope_spans.add()
        for number, (trace_id, span_id) in enumerate(spans):
            span = scope.spans.add(trace_id=trace_id, span_id=span_id, name="chat gpt-5-mini", kind=3)
            span.start_time_unix_nano, span.end_time_unix_nano = 1_700_000_000_000_000_000, 1_700_000_000_250_000_000
            span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
            span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 40 + number
    return request


def otlp_json(request: ExportTraceServiceRequest) -> bytes:
    """Returns an export in the JSON of OTLP: hex ids, enums by number, 64-bit numbers as text."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for group in document["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                span |= {name: base64.b64decode(span[name]).hex() for name in ("traceId", "spanId")}
    return orjson.dumps(document)


@pytest.fixture
def collected(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation that reads two topics of Collectors, which have other numbers of partitions than its own."""
    shop, north = f"{topic_prefix}otel_spans_shop", f"{topic_prefix}otel_spans_north"
    create(kafka, shop, 3, LOG_APPEND_TIME)
    create(kafka, north, 1, LOG_APPEND_TIME)
    otlp_topics = {shop: "shop", north: "north"}
    made = Installation(
        Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, otlp_topics=otlp_topics), tmp_path
    )
    yield made
    made.stop()


def create(kafka: str, name: str, partitions: int, config: dict[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)


def create_ours(settings: Settings) -> None:
    """Returns when the broker tells of our own topics, and so of those that were created before."""
    topics.create(settings)
    topics.wait_until_ready(settings, [kafka_client.topic_name(settings, topic) for topic in Topic], patience_s=20)


def write(kafka: str, topic: str, *written: tuple[int, bytes | None, bytes], **headers: str) -> None:
    """Writes records as the exporter does by default: acknowledged by the leader alone, not idempotent."""
    producer = Producer({"bootstrap.servers": kafka, "acks": 1})
    for partition, key, value in written:
        producer.produce(
            topic, value, key, partition, headers=[(name, text.encode()) for name, text in headers.items()]
        )
    assert producer.flush(30) == 0


def test_the_spans_of_a_trace_come_together_whatever_the_collector_made_of_them(collected: Installation) -> None:
    shop, north = collected.settings.otlp_topics
    kafka = collected.settings.bootstrap_servers
    mixed = batch({"web": [(ONE, b"one-a..."), (TWO, b"two-a...")], "agent": [(ONE, b"one-b...")]})
    rest = batch({"agent": [(ONE, b"one-c...")]})
    write(kafka, shop, (0, None, mixed.SerializeToString()), (2, None, rest.SerializeToString()))
    write(kafka, shop, (1, TWO.hex().encode(), otlp_json(batch({"web": [(TWO, b"two-b...")]}))))
    write(kafka, north, (0, None, otlp_json(mixed)))
    (job,) = collected.start("normalise")
    collected.until(lambda: len(collected.messages(Topic.SPANS)) == 6)

    found: dict[tuple[str, str], set[str]] = {}
    partitions: dict[bytes | None, set[int | None]] = {}
    for message in collected.messages(Topic.SPANS):
        chunk = collected.schemas.decode(TraceChunk, message.value() or b"")
        assert message.key() == record_key(chunk.project, chunk.trace_id)
        partitions.setdefault(message.key(), set()).add(message.partition())
        found.setdefault((chunk.project, chunk.trace_id), set()).update(span.span_id for span in chunk.spans)
    assert found == {
        ("shop", ONE.hex()): {b"one-a...".hex(), b"one-b...".hex(), b"one-c...".hex()},
        ("shop", TWO.hex()): {b"two-a...".hex(), b"two-b...".hex()},
        ("north", ONE.hex()): {b"one-a...".hex(), b"one-b...".hex()},
        ("north", TWO.hex()): {b"two-a...".hex()},
    }
    assert {len(of_one_trace) for of_one_trace in partitions.values()} == {1}
    assert job.terminate() == 0


def test_protobuf_and_json_of_a_batch_become_the_same_spans(collected: Installation) -> None:
    shop, north = collected.settings.otlp_topics
    sent = batch({"web": [(ONE, b"one-a...")], "agent": [(ONE, b"one-b...")]})
    write(collected.settings.bootstrap_servers, shop, (0, None, sent.SerializeToString()))
    write(collected.settings.bootstrap_servers, north, (0, ONE.hex().encode(), otlp_json(sent)))
    collected.start("normalise")
    collected.until(lambda: len(collected.messages(Topic.SPANS)) == 2)
    one, other = collected.records(Topic.SPANS, TraceChunk)
    assert {one.project, other.project} == {"shop", "north"}
    assert (one.spans, one.resources) == (other.spans, other.resources)
    assert [span.input_tokens for span in one.spans] == [40, 40]


def test_a_collectors_topic_is_one_projects_whatever_its_headers_say(collected: Installation) -> None:
    shop, _ = collected.settings.otlp_topics
    kafka = collected.settings.bootstrap_servers
    claims = {"vedette-project": "north", "x-vedette-project": "north", "vedette-ingested-at": "1"}
    write(kafka, shop, (0, None, b"\xffa span of Jaeger's"), **claims)
    write(kafka, shop, (0, None, batch({"web": [(ONE, b"one-a...")]}).SerializeToString()), **claims)
    collected.start("normalise")
    collected.until(lambda: len(collected.messages(Topic.SPANS)) == 1)
    (chunk,) = collected.records(Topic.SPANS, TraceChunk)
    (dead,) = collected.messages(Topic.DLQ)
    assert chunk.project == "shop"
    assert chunk.ingested_at > 1_700_000_000_000
    assert dict(dead.headers() or [])["vedette-project"] == b"shop"
    assert dead.value() == b"\xffa span of Jaeger's"


def test_a_project_that_nobody_could_name_is_refused_with_its_topic() -> None:
    with pytest.raises(ValidationError, match=r"otlp_topics\.otel_spans_shop\n.*'shop/eu' cannot be a name"):
        Settings(otlp_topics={"otel_spans_shop": "shop/eu"})


def test_a_topic_without_append_time_is_refused_with_the_fix(kafka: str, topic_prefix: str) -> None:
    name = f"{topic_prefix}otel_spans_shop"
    create(kafka, name, 1, {"message.timestamp.type": "CreateTime", "max.message.bytes": str(MAX_RECORD_BYTES)})
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, otlp_topics={name: "shop"})
    create_ours(settings)
    loop = Loop("normalise", settings, {Topic.OTLP_SPANS: None}, lambda _: [], patience_s=0)
    fix = f"kafka-configs --alter --topic {name} --add-config message.timestamp.type=LogAppendTime"
    with pytest.raises(RuntimeError, match=re.escape(f"is CreateTime, not LogAppendTime ({fix})")):
        loop.run()
    assert fix.replace(name, "otel_spans_shop") in PAGE


def test_how_long_a_collectors_topic_keeps_its_records_is_its_owners_matter(kafka: str, topic_prefix: str) -> None:
    name = f"{topic_prefix}otel_spans_shop"
    create(kafka, name, 3, {**LOG_APPEND_TIME, "retention.ms": "777000"})
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, otlp_topics={name: "shop"})
    create_ours(settings)
    assert topics.retain(settings) == []
    assert topics.check(settings) == []


# --- the page ---------------------------------------------------------------------------------------------------------


def exporters() -> dict[str, dict[str, Any]]:
    """Returns the exporters of the page's snippets by name."""
    found: dict[str, dict[str, Any]] = {}
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        found |= YAML(typ="safe", pure=True).load(text)["exporters"]
    return found


def test_the_page_names_ports_and_topics_as_they_are() -> None:
    shown, settings = exporters(), Settings()
    assert shown.keys() == {"otlp_http/vedette", "otlp_grpc/vedette", "kafka/vedette"}
    assert shown["otlp_http/vedette"]["endpoint"] == f"http://vedette:{settings.otlp_http_port}"
    assert shown["otlp_grpc/vedette"]["endpoint"] == f"vedette:{settings.otlp_grpc_port}"
    kafka = shown["kafka/vedette"]
    assigned = re.findall(r"VEDETTE_OTLP_TOPICS='(.*)'", PAGE)
    assert [orjson.loads(text) for text in assigned] == [{kafka["traces"]["topic"]: "shop"}]
    assert kafka["producer"]["required_acks"] == -1
    assert kafka["producer"]["max_message_bytes"] < MAX_RECORD_BYTES


def test_the_variable_of_the_page_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_OTLP_TOPICS", re.findall(r"VEDETTE_OTLP_TOPICS='(.*)'", PAGE)[0])
    assert load().otlp_topics == {"otel_spans_shop": "shop"}


def test_what_the_page_sets_for_otlp_reaches_its_project(kafka: str, topic_prefix: str) -> None:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=topic_prefix,
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=free_port(),
    )
    topics.create(settings)
    bridge = start_bridge(settings)
    key = make_key(settings)
    wait_known(bridge, key)
    with TracerProvider().get_tracer("t").start_as_current_span("chat") as span:
        pass
    for exporter in (over_http(settings, key), over_grpc(settings, key)):
        assert exporter.export([span]) is SpanExportResult.SUCCESS  # type: ignore[list-item]
        exporter.shutdown()
    assert [headers["vedette-project"] for _, headers in records(settings, Topic.OTLP_SPANS)] == [b"shop"] * 2
    assert stop_bridge(bridge) == 0


def over_http(settings: Settings, key: str) -> SpanExporter:
    shown = exporters()["otlp_http/vedette"]
    url = shown["endpoint"].replace("vedette:4318", f"127.0.0.1:{settings.otlp_http_port}")
    return HttpExporter(f"{url}/v1/traces", headers=given(shown, key), compression=Compression(shown["compression"]))


def over_grpc(settings: Settings, key: str) -> SpanExporter:
    shown = exporters()["otlp_grpc/vedette"]
    where = shown["endpoint"].replace("vedette:4317", f"127.0.0.1:{settings.otlp_grpc_port}")
    compression = {"gzip": grpc.Compression.Gzip}[shown["compression"]]
    return GrpcExporter(where, shown["tls"]["insecure"], headers=given(shown, key), compression=compression)


def given(shown: Mapping[str, Any], key: str) -> dict[str, str]:
    return {name: text.replace("${env:VEDETTE_API_KEY}", key) for name, text in shown["headers"].items()}
