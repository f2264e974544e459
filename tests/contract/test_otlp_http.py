"""The bridge as users meet it: a process of its own, a real Kafka, a stock OpenTelemetry exporter."""

import gzip
import http.client
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from schemas.codec import Schemas, encode
from schemas.config import ConfigEntry
from schemas.documents.key import KeySpec, key_hash, key_id, new_key
from schemas.example import Example
from schemas.ids import example_id, record_key
from schemas.topics import Topic
from streams import kafka as clients
from streams import topics
from streams.local import kafka as broker
from streams.local.ports import free_port
from streams.settings import Settings

pytestmark = pytest.mark.integration

PROTOBUF = "application/x-protobuf"


@dataclass
class Bridge:
    settings: Settings
    process: subprocess.Popen[bytes]

    def send(
        self, path: str, body: bytes = b"", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.otlp_http_port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def export(self, body: bytes, key: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.send("/v1/traces", body, x_api_key=key, **{"content_type": PROTOBUF, **headers})

    def peak_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def start_bridge(settings: Settings, *, ready: bool = True) -> Bridge:
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.bridge"],
        env={**os.environ, **settings.environment(), "VEDETTE_BRIDGE_READ_S": "3", "VEDETTE_BRIDGE_HEADER_S": "3"},
    )
    bridge = Bridge(settings, process)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if bridge.send("/v1/traces", content_type=PROTOBUF)[0] == (401 if ready else 503):
                return bridge
        except OSError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError("the bridge did not start")


def stop_bridge(bridge: Bridge) -> int:
    bridge.process.send_signal(signal.SIGTERM)
    return bridge.process.wait(20)


def make_key(settings: Settings, scopes: tuple[str, ...] = ("ingest",), projects: tuple[str, ...] = ("*",)) -> str:
    key = new_key(secrets.token_bytes(32), secrets.token_bytes(6))
    spec = KeySpec(key_hash=key_hash(key), scopes=scopes, projects=projects)  # type: ignore[arg-type]
    write_config(
        settings,
        ConfigEntry(project="", kind="Key", name=str(key_id(key)), version="1", spec=spec.model_dump_json().encode()),
    )
    return key


def write_config(settings: Settings, entry: ConfigEntry) -> None:
    producer = clients.producer(settings)
    key = record_key(entry.project, entry.kind, entry.name, entry.version)
    producer.produce(clients.topic_name(settings, Topic.CONFIG), key=key, value=encode(entry))
    assert producer.flush(10) == 0


def records(settings: Settings, topic: Topic) -> list[tuple[bytes, dict[str, bytes]]]:
    consumer: Consumer = clients.consumer(settings, "t")
    name, found = clients.topic_name(settings, topic), []
    for partition in range(settings.partitions):
        where = TopicPartition(name, partition, 0)
        end = consumer.get_watermark_offsets(where, timeout=10)[1]
        consumer.assign([where])
        at = 0
        while at < end:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            at = (message.offset() or 0) + 1
            found.append((message.value() or b"", dict(message.headers() or [])))
    consumer.close()
    return found


def body(*ids: tuple[bytes, bytes], text: str = "", padding: int = 0) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace_id, span_id in ids:
        span = scope.spans.add(trace_id=trace_id, span_id=span_id, name="chat")
        attribute = span.attributes.add(key="input")
        attribute.value.string_value = text + "x" * padding
    return request.SerializeToString()


def span_ids(value: bytes) -> list[bytes]:
    return [
        span.span_id
        for r in ExportTraceServiceRequest.FromString(value).resource_spans
        for s in r.scope_spans
        for span in s.spans
    ]


TRACE, SPAN = b"\1" * 16, b"\2" * 8


@pytest.fixture(scope="module")
def bridge(kafka: str) -> Iterator[Bridge]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"b{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        api_url=f"http://127.0.0.1:{free_port()}",
    )
    topics.create(settings)
    bridge = start_bridge(settings)
    yield bridge
    assert stop_bridge(bridge) == 0


@pytest.fixture(scope="module")
def key(bridge: Bridge) -> str:
    key = make_key(bridge.settings)
    wait_known(bridge, key)
    return key


def wait_known(bridge: Bridge, key: str, status: int = 200) -> None:
    deadline = time.monotonic() + 5
    while bridge.export(b"", key)[0] != status:
        assert time.monotonic() < deadline, "the key's newest version did not count within 5 s"
        time.sleep(0.1)


def test_a_body_stands_on_the_topic_as_it_came_with_its_project(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"as-sent!"))
    status, _, answer = bridge.export(sent, key, x_vedette_project="support", traceparent="00-a-b-01")
    assert (status, answer) == (200, b"")
    found = [headers for value, headers in records(bridge.settings, Topic.OTLP_SPANS) if value == sent]
    assert found == [{"vedette-project": b"support", "content-type": PROTOBUF.encode(), "traceparent": b"00-a-b-01"}]


def test_the_stock_exporter_is_served_plain_and_gzipped(bridge: Bridge, key: str) -> None:
    from opentelemetry.exporter.otlp.proto.http import Compression

    sent = set()
    for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
        url = f"http://127.0.0.1:{bridge.settings.otlp_http_port}/v1/traces"
        provider = TracerProvider()
        provider.add_span_processor(
            SimpleSpanProcessor(
                OTLPSpanExporter(url, headers={"authorization": f"Bearer {key}"}, compression=compression)
            )
        )
        with provider.get_tracer("t").start_as_current_span("chat") as span:
            sent.add(span.get_span_context().span_id.to_bytes(8))
        provider.shutdown()
    found = {
        span
        for value, _ in records(bridge.settings, Topic.OTLP_SPANS)
        if value[:1] == b"\n"
        for span in span_ids(value)
    }
    assert sent <= found


def test_the_callers_own_key_is_masked_in_the_topic(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"with-key"), text=f"Bearer {key}!")
    assert bridge.export(sent, key)[0] == 200
    found = [value for value, _ in records(bridge.settings, Topic.OTLP_SPANS) if b"with-key" in value]
    assert found == [sent.replace(key.encode(), b"*" * len(key))]


def test_two_projects_with_the_same_trace_ids_do_not_cross(bridge: Bridge) -> None:
    keys = {project: make_key(bridge.settings, projects=(project,)) for project in ("north", "south")}
    for project, key in keys.items():
        wait_known(bridge, key)
        assert bridge.export(body((b"\7" * 16, f"to-{project}".encode())), key)[0] == 200
    assert bridge.export(body((b"\7" * 16, SPAN)), keys["north"], x_vedette_project="south")[0] == 403
    found = {
        (span, headers["vedette-project"])
        for value, headers in records(bridge.settings, Topic.OTLP_SPANS)
        if b"\7" * 16 in value
        for span in span_ids(value)
    }
    assert found == {(b"to-north", b"north"), (b"to-south", b"south")}


def test_a_bad_span_is_left_out_and_the_rest_is_kept(bridge: Bridge, key: str) -> None:
    status, _, answer = bridge.export(
        body((TRACE, b"kept-one"), (b"short", SPAN), (TRACE, bytes(8)), (TRACE, b"kept-two")), key
    )
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    told = "1 span left out: span_id must be 8 bytes and not all zero; 1 span left out: trace_id must be 16 bytes and not all zero"
    assert (status, partial.rejected_spans, partial.error_message) == (200, 2, told)
    assert [span_ids(value) for value, _ in records(bridge.settings, Topic.OTLP_SPANS) if b"kept-one" in value] == [
        [b"kept-one", b"kept-two"]
    ]


def test_a_body_larger_than_a_record_is_split_by_spans(bridge: Bridge, key: str) -> None:
    ids = [(b"\x09" * 16, f"large-{n:02}".encode()) for n in range(24)]
    assert bridge.export(body(*ids, padding=1024 * 1024), key)[0] == 200
    found = [span_ids(value) for value, _ in records(bridge.settings, Topic.OTLP_SPANS) if b"large-" in value]
    assert sorted(span for ids in found for span in ids) == [span for _, span in ids]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("path", "method", "headers", "sent", "status"),
    [
        ("/v1/traces", "POST", {"content_type": PROTOBUF}, b"\xff", 400),
        (
            "/v1/traces",
            "POST",
            {"content_type": PROTOBUF, "content_encoding": "gzip"},
            gzip.compress(b"12345")[:-4],
            400,
        ),
        ("/v1/traces", "POST", {"content_type": "application/json"}, b"{", 400),
        ("/v1/traces", "POST", {"content_type": PROTOBUF, "x_api_key": "vd_000000000000_" + "0" * 43}, b"", 401),
        ("/v1/metrics", "POST", {"content_type": PROTOBUF}, b"", 404),
        ("/v1/traces", "GET", {"content_type": PROTOBUF}, b"", 405),
        ("/v1/traces", "POST", {"content_type": PROTOBUF, "content_length": str(1 << 40)}, b"", 413),
        ("/v1/traces", "POST", {"content_type": "text/plain"}, b"", 415),
        ("/v1/traces", "POST", {"content_type": PROTOBUF, "content_encoding": "br"}, b"", 415),
        ("/otel/v1/traces", "POST", {"content_type": "application/json"}, b"{}", 200),
    ],
)
def test_every_refusal_has_its_status(
    bridge: Bridge, key: str, path: str, method: str, headers: dict[str, str], sent: bytes, status: int
) -> None:
    got, answer_headers, answer = bridge.send(path, sent, method, **{"x_api_key": key, **headers})
    assert got == status, answer
    form = "application/json" if "json" in headers["content_type"] else PROTOBUF
    assert answer_headers["content-type"] == form


def test_a_revoked_key_is_refused_within_five_seconds(bridge: Bridge) -> None:
    key = make_key(bridge.settings)
    wait_known(bridge, key)
    write_config(bridge.settings, ConfigEntry(project="", kind="Key", name=str(key_id(key)), version="2", deleted=True))
    wait_known(bridge, key, 401)


def test_a_key_without_the_scope_is_refused(bridge: Bridge) -> None:
    key = make_key(bridge.settings, scopes=("read",))
    wait_known(bridge, key, 403)


def test_slow_clients_are_closed(bridge: Bridge, key: str) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: {PROTOBUF}\r\n".encode()
    for began in (b"", head, head + b"content-length: 1000\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", bridge.settings.otlp_http_port), 10) as client:
            client.sendall(began)
            while client.recv(4096):
                pass


def test_bombs_are_refused_in_bounded_memory(bridge: Bridge, key: str) -> None:
    before = bridge.peak_mib()
    assert bridge.export(gzip.compress(b"\0" * (300 << 20)), key, content_encoding="gzip")[0] == 413
    empty = b"\x12\x00" * (1 << 20)
    scope = b"\x12" + varint(len(empty)) + empty
    began = time.monotonic()
    assert bridge.export(b"\n" + varint(len(scope)) + scope, key)[0] == 413
    assert time.monotonic() - began < 1
    assert bridge.peak_mib() - before < 200


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def test_mutated_bodies_get_200_400_or_413_and_nothing_else(bridge: Bridge, key: str) -> None:
    chance = random.Random(7)
    good, seen = body((TRACE, SPAN), (TRACE, b"\3" * 8), text="hello"), set()
    connection = http.client.HTTPConnection("127.0.0.1", bridge.settings.otlp_http_port, timeout=30)
    for _ in range(2000):
        mutant = bytearray(good)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(mutant))
            mutant[at : at + chance.choice((0, 1, 1, 4))] = chance.randbytes(chance.choice((0, 1, 1, 6)))
        connection.request("POST", "/v1/traces", bytes(mutant), {"x-api-key": key, "content-type": PROTOBUF})
        response = connection.getresponse()
        response.read()
        seen.add(response.status)
    connection.close()
    assert seen == {200, 400}


def test_examples_are_taken_one_by_one(bridge: Bridge, key: str) -> None:
    sent = {
        "examples": [
            {"fields": {"request": "hi"}, "scorers": ["Missing"]},
            {"fields": []},
            {"id": "mine", "fields": {}, "trace_id": "AB" * 16},
        ]
    }
    status, _, answer = bridge.send(
        "/v1/examples", orjson.dumps(sent), x_api_key=key, content_type="application/json", idempotency_key="once"
    )
    first = example_id("default", "once", 0)
    told = {
        "accepted": 2,
        "ids": [first, "mine"],
        "rejected": [{"index": 1, "error": "fields: Input should be a valid dictionary (got [])"}],
        "unknown_scorers": ["Missing"],
    }
    assert (status, orjson.loads(answer)) == (200, told)
    found = [Schemas().decode(Example, value) for value, _ in records(bridge.settings, Topic.EXAMPLES)]
    assert sorted((e.project, e.example_id, e.fields, e.trace_id) for e in found) == sorted(
        [("default", first, b'{"request":"hi"}', ""), ("default", "mine", b"{}", "ab" * 16)]
    )


def test_ingest_goes_on_when_the_api_is_away(bridge: Bridge, key: str) -> None:
    status, _, answer = bridge.send("/api/v1/rules", method="GET")
    assert (status, orjson.loads(answer)["error"]) == (503, "unavailable")
    assert bridge.export(body((TRACE, SPAN)), key)[0] == 200


def test_what_got_a_200_is_on_the_topic_when_kafka_was_away(tmp_path: Path) -> None:
    server = broker.start(tmp_path / "kafka")
    settings = Settings(bootstrap_servers=server.bootstrap, partitions=2, otlp_http_port=free_port())
    try:
        topics.create(settings)
        key = make_key(settings)
        bridge = start_bridge(settings)
        wait_known(bridge, key)
        acknowledged = {
            f"before{n:02}".encode()
            for n in range(20)
            if bridge.export(body((TRACE, f"before{n:02}".encode())), key)[0] == 200
        }
        broker.stop(server)
        status, headers, _ = bridge.export(body((TRACE, b"while-no")), key)
        assert (status, headers["retry-after"]) == (503, "2")
        server = broker.start(tmp_path / "kafka")
        deadline = time.monotonic() + 30
        while bridge.export(body((TRACE, b"recovers")), key)[0] != 200:
            assert time.monotonic() < deadline
        acknowledged |= {b"recovers"}
        found = {span for value, _ in records(settings, Topic.OTLP_SPANS) for span in span_ids(value)}
        assert len(acknowledged) == 21
        assert acknowledged <= found <= acknowledged | {b"while-no"}
        assert stop_bridge(bridge) == 0
    finally:
        broker.stop(server)


def test_a_bridge_without_kafka_serves_and_asks_to_come_again() -> None:
    settings = Settings(bootstrap_servers=f"127.0.0.1:{free_port()}", otlp_http_port=free_port())
    bridge = start_bridge(settings, ready=False)
    status, headers, _ = bridge.send("/v1/traces", content_type="application/json")
    assert (status, headers["retry-after"]) == (503, "2")
    assert stop_bridge(bridge) == 0
