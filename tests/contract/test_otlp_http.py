"""The bridge as users meet it: a process of its own, a real Kafka, a stock OpenTelemetry exporter."""

import gzip
import http.client
import random
import secrets
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cramjam
import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from schemas.codec import Schemas
from schemas.config import ConfigEntry
from schemas.documents.key import key_id
from schemas.example import Example
from schemas.ids import example_id
from schemas.topics import Topic
from streams import topics
from streams.local import kafka as broker
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import (
    PROTOBUF,
    SPAN,
    TRACE,
    Bridge,
    body,
    make_key,
    records,
    span_ids,
    start_bridge,
    stop_bridge,
    wait_known,
    write_config,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bridge(kafka: str) -> Iterator[Bridge]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"b{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
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


def test_a_body_stands_on_the_topic_as_it_came_with_its_project(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"as-sent!"))
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    status, _, answer = bridge.export(sent, key, x_vedette_project="support", traceparent=traceparent)
    assert (status, answer) == (200, b"")
    found = [headers for value, headers in records(bridge.settings, Topic.OTLP_SPANS) if value == sent]
    assert found == [
        {"vedette-project": b"support", "content-type": PROTOBUF.encode(), "traceparent": traceparent.encode()}
    ]


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
            gzip.compress(b"12345", mtime=0)[:-4],
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


def test_what_is_not_taken_is_told_with_what_to_do(bridge: Bridge, key: str) -> None:
    told = "metrics are not kept here; set OTEL_METRICS_EXPORTER=none, or send them elsewhere"
    _, _, answer = bridge.send("/v1/metrics", content_type=PROTOBUF)
    assert Status.FromString(answer) == Status(code=5, message=told)
    _, _, answer = bridge.send("/v1/metrics", content_type="application/json")
    assert orjson.loads(answer) == {"code": 5, "message": told}
    _, headers, answer = bridge.export(b"", key, content_encoding="br")
    assert headers["accept-encoding"] == "gzip, deflate, zstd"
    assert "send gzip, deflate, zstd or identity" in Status.FromString(answer).message


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
    with ExitStack() as stack:
        clients = []
        for began in (b"", head, head + b"content-length: 1000\r\n\r\n"):
            client = socket.create_connection(("127.0.0.1", bridge.settings.otlp_http_port), 10)
            clients.append(stack.enter_context(client))
            client.sendall(began)
        for client in clients:
            while client.recv(4096):
                pass


def test_bombs_are_refused_in_bounded_memory(bridge: Bridge, key: str) -> None:
    before = bridge.peak_mib()
    zeros = bytes(300 * 1024 * 1024)
    bombs = {"gzip": gzip.compress(zeros), "deflate": zlib.compress(zeros), "zstd": bytes(cramjam.zstd.compress(zeros))}
    assert {name: bridge.export(sent, key, content_encoding=name)[0] for name, sent in bombs.items()} == dict.fromkeys(
        bombs, 413
    )
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


@pytest.mark.faults
def test_what_got_a_200_is_on_the_topic_when_kafka_was_away_and_the_bridge_is_not_ready_meanwhile(
    tmp_path: Path,
) -> None:
    server = broker.start(tmp_path / "kafka")
    settings = Settings(
        bootstrap_servers=server.bootstrap,
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
        metrics_port=free_port(),
    )
    try:
        topics.create(settings)
        key = make_key(settings)
        bridge = start_bridge(settings)
        wait_known(bridge, key)
        assert bridge.readyz() == "ok"
        acknowledged = {
            f"before{n:02}".encode()
            for n in range(20)
            if bridge.export(body((TRACE, f"before{n:02}".encode())), key)[0] == 200
        }
        broker.stop(server)
        status, headers, _ = bridge.export(body((TRACE, b"while-no")), key)
        assert (status, headers["retry-after"]) == (503, "2")
        assert bridge.readyz() == f"waiting for Kafka at {settings.bootstrap_servers}"
        began = time.monotonic()
        assert bridge.export(body((TRACE, b"not-sent")), key)[0] == 503
        assert time.monotonic() - began < 1, "what cannot be written is refused at once"
        server = broker.start(tmp_path / "kafka")
        deadline = time.monotonic() + 30
        while bridge.export(body((TRACE, b"recovers")), key)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert bridge.readyz() == "ok"
        acknowledged |= {b"recovers"}
        found = {span for value, _ in records(settings, Topic.OTLP_SPANS) for span in span_ids(value)}
        assert len(acknowledged) == 21
        assert acknowledged <= found <= acknowledged | {b"while-no"}
        assert stop_bridge(bridge) == 0
    finally:
        broker.stop(server)


def test_a_bridge_without_kafka_serves_and_asks_to_come_again() -> None:
    settings = Settings(bootstrap_servers=f"127.0.0.1:{free_port()}", otlp_http_port=free_port(), otlp_grpc_port=0)
    bridge = start_bridge(settings, ready=False)
    status, headers, _ = bridge.send("/v1/traces", content_type="application/json")
    assert (status, headers["retry-after"]) == (503, "2")
    assert stop_bridge(bridge) == 0
