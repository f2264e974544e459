"""OTLP over gRPC and the bridge's bounds at both doors: a process of its own, a real Kafka, a stock OpenTelemetry exporter."""

import gzip
import http.client
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import grpc  # type: ignore[import-untyped]
import orjson
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.topics import Topic
from streams import topics
from streams.bridge.grpc import LOGS, METRICS, TRACES, export_path
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
)

pytestmark = pytest.mark.integration

EXPORT = export_path(TRACES)
MIB = 1024 * 1024
LIMITS = {"body_bytes": 2 * MIB, "held_bytes": 5 * MIB, "key_bytes_per_s": MIB, "read_s": 1}


@dataclass
class Answer:
    """How a call ended; `retry_after_s` is None when it is not to be repeated."""

    code: grpc.StatusCode
    told: str = ""
    message: bytes = b""
    retry_after_s: int | None = None


def call(
    bridge: Bridge, sent: bytes, key: str = "", project: str = "", compression: object = None, path: str = EXPORT
) -> Answer:
    """Sends one message, as any gRPC client does."""
    metadata = [("x-api-key", key), ("x-vedette-project", project)]
    address = f"127.0.0.1:{bridge.settings.otlp_grpc_port}"
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        method = channel.unary_unary(path)
        given = [(name, value) for name, value in metadata if value]
        try:
            return Answer(grpc.StatusCode.OK, message=method(sent, 30, given, None, True, compression))
        except grpc.RpcError as error:
            return refused(error)


def refused(error: grpc.RpcError) -> Answer:
    """Returns what a client reads from the status and from its details."""
    answer = Answer(error.code(), error.details())
    for detail in status(error).details:
        info = RetryInfo()
        assert detail.Unpack(info)
        answer.retry_after_s = info.retry_delay.seconds
    return answer


def status(error: grpc.RpcError) -> Status:
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    if details is None:  # gRPC itself refused
        return Status()
    found = Status.FromString(details)
    assert (found.code, found.message) == (error.code().value[0], error.details())
    return found


def settings_for(kafka: str, **further: Any) -> Settings:
    made = Settings(
        **further,
        bootstrap_servers=kafka,
        topic_prefix=f"g{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=free_port(),
    )
    topics.create(made)
    return made


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bridge writes what it tells."""
    return tmp_path_factory.mktemp("bridge") / "log"


@pytest.fixture(scope="module")
def bridge(kafka: str, log: Path) -> Iterator[Bridge]:
    bridge = start_bridge(settings_for(kafka, log_level="DEBUG"), limits=LIMITS, log=log)
    yield bridge
    assert stop_bridge(bridge) == 0


@pytest.fixture(scope="module")
def key(bridge: Bridge) -> str:
    return known_key(bridge)


def known_key(bridge: Bridge, *projects: str) -> str:
    """Returns a key of its own: what one test sends does not slow another down."""
    key = make_key(bridge.settings, projects=projects or ("*",))
    wait_known(bridge, key)
    return key


def found(bridge: Bridge, mark: bytes) -> list[tuple[bytes, dict[str, bytes]]]:
    return [record for record in records(bridge.settings, Topic.OTLP_SPANS) if mark in record[0]]


def test_the_stock_exporter_writes_over_grpc_what_it_writes_over_http(bridge: Bridge, key: str) -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("t").start_as_current_span("chat", attributes={"input": "Where is my parcel?"}) as span:
        trace_id = span.get_span_context().trace_id.to_bytes(16)
    headers = {"authorization": f"Bearer {key}", "x-vedette-project": "support"}
    ports = bridge.settings
    exporters = [
        HttpExporter(f"http://127.0.0.1:{ports.otlp_http_port}/v1/traces", headers=headers),
        *(
            GrpcExporter(f"http://127.0.0.1:{ports.otlp_grpc_port}", headers=headers, compression=compression)
            for compression in (None, grpc.Compression.Gzip, grpc.Compression.Deflate)
        ),
    ]
    for exporter in exporters:
        assert exporter.export(memory.get_finished_spans()) is SpanExportResult.SUCCESS
        exporter.shutdown()
    over_http, *over_grpc = found(bridge, trace_id)
    assert over_http[1] == {"vedette-project": b"support", "content-type": PROTOBUF.encode()}
    assert over_grpc == [over_http] * 3


def test_a_bad_span_is_left_out_over_grpc_as_over_http(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"kept-two"), (b"short", SPAN))
    answer = call(bridge, sent, key)
    assert (answer.code, answer.message) == (grpc.StatusCode.OK, bridge.export(sent, key)[2])
    assert b"1 span left out: trace_id" in answer.message
    assert [span_ids(value) for value, _ in found(bridge, b"kept-two")] == [[b"kept-two"]] * 2


def test_the_callers_own_key_is_masked_over_grpc(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"with-key"), text=f"Bearer {key}!")
    assert call(bridge, sent, key, compression=grpc.Compression.Gzip).code is grpc.StatusCode.OK
    assert [value for value, _ in found(bridge, b"with-key")] == [sent.replace(key.encode(), b"*" * len(key))]


def test_logs_over_grpc_are_kept_as_over_http_and_metrics_are_told_where_to_go(bridge: Bridge, key: str) -> None:
    sent = log_events(b"log-span")
    assert bridge.send("/v1/logs", sent, x_api_key=key, content_type=PROTOBUF)[::2] == (200, b"")
    assert call(bridge, sent, key, "support", path=export_path(LOGS)) == Answer(grpc.StatusCode.OK)
    kept = [record for record in records(bridge.settings, Topic.OTLP_LOGS) if b"log-span" in record[0]]
    assert [(value, headers["vedette-project"]) for value, headers in kept] == [(sent, b"default"), (sent, b"support")]
    answer = call(bridge, b"", key, path=export_path(METRICS))
    assert (answer.code.name, answer.retry_after_s) == ("NOT_FOUND", None)
    assert "OTEL_METRICS_EXPORTER=none" in answer.told


def log_events(span_id: bytes) -> bytes:
    request = ExportLogsServiceRequest()
    event = request.resource_logs.add().scope_logs.add().log_records.add(trace_id=TRACE, span_id=span_id)
    event.event_name = "gen_ai.choice"
    event.body.string_value = "It left on Monday."
    return request.SerializeToString()


def test_every_refusal_has_its_code_and_is_not_to_be_repeated(bridge: Bridge, key: str) -> None:
    north = known_key(bridge, "north")
    spans = body((TRACE, SPAN))
    bomb = gzip.compress(bytes(64 * MIB))
    unknown = "vd_000000000000_" + "0" * 43
    told = {
        "no key": call(bridge, spans),
        "another key": call(bridge, spans, unknown),
        "another project": call(bridge, spans, north, "south"),
        "no export": call(bridge, b"\xff", key),
        "cut short": call(bridge, gzip.compress(spans)[:-4], key),
        "too large": call(bridge, bytes(2 * MIB + 1), key),
        "too large inside": call(bridge, bomb, key),
    }
    codes = {what: answer.code.name for what, answer in told.items()}
    assert codes == {
        "no key": "UNAUTHENTICATED",
        "another key": "UNAUTHENTICATED",
        "another project": "PERMISSION_DENIED",
        "no export": "INVALID_ARGUMENT",
        "cut short": "INVALID_ARGUMENT",
        "too large": "RESOURCE_EXHAUSTED",
        "too large inside": "RESOURCE_EXHAUSTED",
    }
    assert {answer.retry_after_s for answer in told.values()} == {None}
    assert "'south' (it may use: north)" in told["another project"].told


def test_a_call_without_a_message_ends_in_bounded_time(bridge: Bridge, key: str) -> None:
    silent = threading.Event()

    def nothing() -> Iterator[bytes]:
        silent.wait(10)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{bridge.settings.otlp_grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(EXPORT)(nothing(), timeout=9, metadata=[("x-api-key", key)])
        silent.set()
    answer = refused(caught.value)
    assert (answer.code.name, answer.told) == ("DEADLINE_EXCEEDED", "the message did not come within 1 s")


def test_a_connection_on_which_nothing_comes_is_closed(bridge: Bridge) -> None:
    with socket.create_connection(("127.0.0.1", bridge.settings.otlp_grpc_port), 10) as client:
        while client.recv(4096):
            pass


def test_a_key_that_sends_too_much_is_told_at_both_doors_when_to_come_again(bridge: Bridge) -> None:
    key = known_key(bridge)
    large = body((TRACE, SPAN), padding=2 * MIB - 100)
    for _ in range(20):
        status, headers, _ = bridge.export(large, key)
        if status != 200:
            break
    assert (status, int(headers["retry-after"]) in (1, 2)) == (429, True)
    answer = call(bridge, b"", key)
    assert (answer.code.name, answer.retry_after_s in (1, 2)) == ("RESOURCE_EXHAUSTED", True)
    assert call(bridge, b"", known_key(bridge)).code is grpc.StatusCode.OK


def test_a_bridge_that_holds_as_much_as_it_may_asks_to_come_again_at_both_doors(bridge: Bridge) -> None:
    key = known_key(bridge)
    large = body((TRACE, b"it-waits"), padding=2 * MIB - 100)
    sent = body((TRACE, SPAN), padding=MIB * 3 // 2)
    with half_sent(bridge, large, key) as client:
        status, headers, _ = bridge.export(sent, key)
        assert (status, headers["retry-after"]) == (503, "2")
        answer = call(bridge, sent, key)
        assert (answer.code.name, answer.retry_after_s) == ("UNAVAILABLE", 2)
        assert call(bridge, body((TRACE, SPAN)), key).code is grpc.StatusCode.OK
        client.sendall(large[MIB:])
        assert client.recv(12) == b"HTTP/1.1 200"
    assert bridge.export(sent, key)[0] == 200


def half_sent(bridge: Bridge, sent: bytes, key: str) -> socket.socket:
    """Returns a connection on which a request waits for the rest of its body."""
    client = socket.create_connection(("127.0.0.1", bridge.settings.otlp_http_port), 10)
    head = f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {len(sent)}\r\n\r\n"
    client.sendall(head.encode() + sent[:MIB])
    time.sleep(0.2)
    return client


def test_a_chunked_body_is_taken_whole_and_one_without_end_is_not(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"in-parts"), padding=300_000)
    parts = [sent[start : start + 70_000] for start in range(0, len(sent), 70_000)]
    assert chunked(bridge, iter(parts), key) == 200
    assert [value for value, _ in found(bridge, b"in-parts")] == [sent]
    assert chunked(bridge, iter([bytes(MIB)] * 3), key) == 413
    assert chunked(bridge, slowly(), key) == 408


def chunked(bridge: Bridge, parts: Iterator[bytes], key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", bridge.settings.otlp_http_port, timeout=10)
    headers = {"x-api-key": key, "content-type": PROTOBUF, "transfer-encoding": "chunked"}
    try:
        connection.request("POST", "/v1/traces", parts, headers, encode_chunked=True)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return connection.getresponse().status
    finally:
        connection.close()


def slowly() -> Iterator[bytes]:
    yield b"\n"
    time.sleep(1.5)


def test_a_body_in_zstd_stands_on_the_topic_inflated(bridge: Bridge, key: str) -> None:
    sent = body((TRACE, b"in-zstd!"), padding=100_000)
    assert bridge.export(bytes(cramjam.zstd.compress(sent)), key, content_encoding="zstd")[0] == 200
    assert [value for value, _ in found(bridge, b"in-zstd!")] == [sent]


def test_the_key_stands_in_no_log_and_on_no_topic(bridge: Bridge, key: str, log: Path) -> None:
    spans = body((TRACE, b"nowhere!"), text=f"{key} and {key}")
    examples = orjson.dumps({"examples": [{"id": key, "fields": {"request": key}, "scorers": [key]}]})
    events = log_events(b"nowhere!").replace(b"It left on Monday.", b"")
    told = {"x_api_key": key, "traceparent": key, "content_type": PROTOBUF}
    in_json = told | {"content_type": "application/json"}
    bridge.send("/v1/traces", spans, **told)
    bridge.send("/v1/traces", gzip.compress(spans), **told, content_encoding="gzip")
    bridge.send("/v1/traces", b"\xff" + key.encode(), **told)
    bridge.send("/v1/traces", spans, **told, x_vedette_project=key)
    bridge.send("/v1/logs", events, **told)
    bridge.send("/v1/examples", examples, **in_json, idempotency_key=key)
    bridge.send("/v1/examples", examples, **in_json, content_encoding=key)
    bridge.send(f"/v1/{key}", spans, **told)
    bridge.send(f"/api/v1/rules?key={key}", b"", "GET", **told)
    for sent in (spans, gzip.compress(spans), b"\xff" + key.encode()):
        call(bridge, sent, key)
        call(bridge, sent, key, project=key)
        call(bridge, sent, key, path=export_path(LOGS))
    assert len(found(bridge, b"nowhere!")) == 4
    assert len([value for value, _ in records(bridge.settings, Topic.EXAMPLES) if b"*" * len(key) in value]) == 1
    for topic in (Topic.OTLP_SPANS, Topic.OTLP_LOGS, Topic.EXAMPLES):
        for value, headers in records(bridge.settings, topic):
            assert key.encode() not in b"".join((value, *headers.values()))
    assert key not in log.read_text()


def test_a_bridge_without_kafka_asks_grpc_clients_to_come_again() -> None:
    settings = Settings(
        bootstrap_servers=f"127.0.0.1:{free_port()}", otlp_http_port=free_port(), otlp_grpc_port=free_port()
    )
    bridge = start_bridge(settings, ready=False)
    answer = call(bridge, b"")
    assert (answer.code.name, answer.retry_after_s) == ("UNAVAILABLE", 2)
    assert stop_bridge(bridge) == 0


def test_a_stop_under_load_loses_nothing_and_doubles_nothing(kafka: str) -> None:
    bridge = start_bridge(settings_for(kafka))
    key = known_key(bridge)
    ledgers = [Ledger(bridge, key, door, number) for number, door in enumerate(("http", "http", "grpc", "grpc"))]
    for ledger in ledgers:
        ledger.start()
    time.sleep(1)
    assert stop_bridge(bridge) == 0
    for ledger in ledgers:
        ledger.join(20)
    taken = {span for ledger in ledgers for span in ledger.taken}
    assert min(len(ledger.taken) for ledger in ledgers) > 10
    written = [span for value, _ in records(bridge.settings, Topic.OTLP_SPANS) for span in span_ids(value)]
    assert taken <= set(written)
    assert len(written) == len(set(written)) <= len(taken) + len(ledgers), "but for one of each that was on its way"


class Ledger(threading.Thread):
    """Sends span after span on one connection until the bridge is gone, and notes which were taken."""

    def __init__(self, bridge: Bridge, key: str, door: str, number: int) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self._spans = (f"{number}-{n:06}".encode() for n in range(10**6))
        self._send = {"http": self._over_http, "grpc": self._over_grpc}[door]
        self._bridge, self._key = bridge, key

    def run(self) -> None:
        self._send()

    def _over_http(self) -> None:
        port, headers = self._bridge.settings.otlp_http_port, {"x-api-key": self._key, "content-type": PROTOBUF}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            for span in self._spans:
                try:
                    connection.request("POST", "/v1/traces", body((TRACE, span)), headers)
                    with connection.getresponse() as answer:
                        answer.read()
                except (OSError, http.client.HTTPException):
                    return
                if answer.status != 200:
                    return
                self.taken.append(span)

    def _over_grpc(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._bridge.settings.otlp_grpc_port}") as channel:
            method = channel.unary_unary(EXPORT)
            for span in self._spans:
                try:
                    method(body((TRACE, span)), 20, [("x-api-key", self._key)])
                except grpc.RpcError:
                    return
                self.taken.append(span)
