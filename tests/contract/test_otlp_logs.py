"""`/v1/logs` as exporters meet it: the same door as for spans; only what tells a span's content is kept."""

import gzip
import secrets
import urllib.request
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from schemas.otlp.decode import decode_logs
from schemas.topics import Topic
from streams import topics
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import PROTOBUF, Bridge, make_key, records, start_bridge, stop_bridge, wait_known
from tests.support.contents import log_export

pytestmark = pytest.mark.integration

JSON = "application/json"
CHOICE = "gen_ai.choice"


@pytest.fixture(scope="module")
def bridge(kafka: str) -> Iterator[Bridge]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"l{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
        metrics_port=free_port(),
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


def as_json(made: ExportLogsServiceRequest) -> bytes:
    """OTLP's JSON: ids in hex."""
    document = MessageToDict(made)
    sent = made.resource_logs[0].scope_logs[0].log_records
    for told, record in zip(document["resourceLogs"][0]["scopeLogs"][0]["logRecords"], sent, strict=True):
        told |= {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}
    return orjson.dumps(document)


def encoded(made: ExportLogsServiceRequest, kind: str) -> bytes:
    return as_json(made) if kind == JSON else made.SerializeToString()


def export(bridge: Bridge, body: bytes, key: str, **headers: str) -> tuple[int, bytes]:
    status, _, answer = bridge.send("/v1/logs", body, x_api_key=key, **{"content_type": PROTOBUF, **headers})
    return status, answer


def kept(bridge: Bridge, mark: str) -> list[tuple[bytes, dict[str, Any]]]:
    return [(value, headers) for value, headers in records(bridge.settings, Topic.OTLP_LOGS) if mark.encode() in value]


def let_go(bridge: Bridge) -> float:
    url = f"http://127.0.0.1:{bridge.settings.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("vedette_bridge_logs_let_go_total ")).split()[1])


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_content_stands_on_the_topic_as_it_came_with_its_project(bridge: Bridge, key: str, kind: str) -> None:
    sent = encoded(log_export({"event_name": CHOICE, "text": f"as sent in {kind}"}), kind)
    headers = {"content_type": kind, "content_encoding": "gzip", "x_vedette_project": "support"}
    answer = export(bridge, gzip.compress(sent), key, **headers)
    assert answer == (200, b"{}" if kind == JSON else b"")
    told = {"vedette-project": b"support", "content-type": kind.encode()}
    assert kept(bridge, f"as sent in {kind}") == [(sent, told)]


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_what_tells_no_content_is_counted_and_let_go(bridge: Bridge, key: str, kind: str) -> None:
    mark, before = secrets.token_hex(8), let_go(bridge)
    mixed = log_export(
        {"text": f"a line of the application {mark}"},
        {"event_name": CHOICE, "text": f"an answer {mark}"},
        {"event_name": "gen_ai.evaluation.result", "text": mark},
        {"event_name": CHOICE, "trace_id": b"", "span_id": b"", "text": f"of no span {mark}"},
    )
    only_lines = log_export({"text": f"gen_ai. {mark}"}, {"text": mark})
    for made in (mixed, only_lines, log_export({"text": "a line"})):
        assert export(bridge, encoded(made, kind), key, content_type=kind) == (200, b"{}" if kind == JSON else b"")
    ((value, _),) = kept(bridge, mark)
    assert [log.body for log in decode_logs(value)] == [f"an answer {mark}"]
    assert let_go(bridge) - before == 6


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_events_with_bad_ids_are_left_out_by_partial_success(bridge: Bridge, key: str, kind: str) -> None:
    mark = secrets.token_hex(8)
    made = log_export(
        {"event_name": CHOICE, "text": f"good {mark}"},
        {"event_name": CHOICE, "trace_id": b"short"},
        {"event_name": CHOICE, "span_id": bytes(8)},
    )
    status, answer = export(bridge, encoded(made, kind), key, content_type=kind)
    assert status == 200
    if kind == JSON:
        partial = orjson.loads(answer)["partialSuccess"]
        number, told = partial["rejectedLogRecords"], partial["errorMessage"]
        assert "traceId must be 32 hex digits" in told
    else:
        success = ExportLogsServiceResponse.FromString(answer).partial_success
        number, told = str(success.rejected_log_records), success.error_message
        assert "trace_id must be 16 bytes" in told
    assert number == "2"
    assert [[log.body for log in decode_logs(value)] for value, _ in kept(bridge, mark)] == [[f"good {mark}"]]


def test_the_stock_exporter_is_served_and_an_event_named_by_its_attribute_is_known(bridge: Bridge, key: str) -> None:
    url = f"http://127.0.0.1:{bridge.settings.otlp_http_port}/v1/logs"
    provider = LoggerProvider()
    exporter = OTLPLogExporter(url, headers={"authorization": f"Bearer {key}"})
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger, mark = provider.get_logger("t"), secrets.token_hex(8)
    with TracerProvider().get_tracer("t").start_as_current_span("chat"):
        logger.emit(LogRecord(event_name="gen_ai.user.message", body={"content": f"asked {mark}"}))
        logger.emit(LogRecord(attributes={"event.name": CHOICE}, body={"content": f"answered {mark}"}))
        logger.emit(LogRecord(body=f"a line {mark}"))
    provider.shutdown()
    told = [log.body for value, _ in kept(bridge, mark) for log in decode_logs(value)]
    assert sorted(map(str, told)) == [f"{{'content': 'answered {mark}'}}", f"{{'content': 'asked {mark}'}}"]


def test_the_callers_own_key_is_masked(bridge: Bridge, key: str) -> None:
    mark = secrets.token_hex(8)
    made = log_export({"event_name": CHOICE, "text": f"{mark} {key}"})
    assert export(bridge, made.SerializeToString(), key)[0] == 200
    ((value, _),) = kept(bridge, mark)
    assert key.encode() not in value
    assert b"*" * len(key) in value


def test_a_body_larger_than_a_record_is_split(bridge: Bridge, key: str) -> None:
    mark = secrets.token_hex(8)
    made = log_export(*({"event_name": CHOICE, "text": mark + "x" * 1024 * 1024} for _ in range(24)))
    assert export(bridge, made.SerializeToString(), key)[0] == 200
    assert sorted(len(decode_logs(value)) for value, _ in kept(bridge, mark)) == [10, 14]


@pytest.mark.parametrize(
    ("path", "method", "headers", "sent", "status"),
    [
        ("/v1/logs", "POST", {}, b"\xff", 400),
        ("/v1/logs", "POST", {"content_encoding": "gzip"}, gzip.compress(b"12345", mtime=0)[:-4], 400),
        ("/v1/logs", "POST", {"content_type": JSON}, b"{", 400),
        ("/v1/logs", "POST", {"content_type": JSON}, b'{"resourceLogs": [{"scopeLogs": {}}]}', 400),
        ("/v1/logs", "POST", {"x_api_key": "vd_000000000000_" + "0" * 43}, b"", 401),
        ("/v1/logs", "GET", {}, b"", 405),
        ("/v1/logs", "POST", {"content_length": str(1 << 40)}, b"", 413),
        ("/v1/logs", "POST", {}, log_export({"event_name": CHOICE}, shared="x" * 2_000_000).SerializeToString(), 413),
        ("/v1/logs", "POST", {"content_type": "text/plain"}, b"", 415),
        ("/v1/metrics", "POST", {}, b"", 404),
        ("/v1/metrics", "POST", {"content_type": JSON}, b"{}", 404),
    ],
)
def test_every_refusal_is_a_status_of_otlp(
    bridge: Bridge, key: str, path: str, method: str, headers: dict[str, str], sent: bytes, status: int
) -> None:
    kind = headers.get("content_type", PROTOBUF)
    got, answered, answer = bridge.send(path, sent, method, **{"x_api_key": key, "content_type": kind, **headers})
    assert got == status, answer
    assert answered["content-type"] == (JSON if kind == JSON else PROTOBUF)
    code, told = (
        (orjson.loads(answer)["code"], orjson.loads(answer)["message"])
        if kind == JSON
        else (Status.FromString(answer).code, Status.FromString(answer).message)
    )
    assert code == {400: 3, 401: 16, 404: 5, 405: 12, 413: 8, 415: 3}[status]
    assert told
    if path == "/v1/metrics":
        assert "OTEL_METRICS_EXPORTER=none" in told


def test_a_key_counts_for_its_projects_alone(bridge: Bridge) -> None:
    key = make_key(bridge.settings, projects=("mine",))
    wait_known(bridge, key)
    assert export(bridge, b"", key, x_vedette_project="other")[0] == 403
