"""A bridge as a process on a real Kafka, keys for it, and bodies to send.

bridge = start_bridge(settings)
key = make_key(settings)
wait_known(bridge, key)
assert bridge.export(body((TRACE, SPAN)), key)[0] == 200
"""

import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.codec import encode
from schemas.config import ConfigEntry
from schemas.documents.key import KeySpec, key_hash, key_id, new_key
from schemas.ids import record_key
from schemas.topics import Topic
from streams import kafka as clients
from streams.settings import Settings

PROTOBUF = "application/x-protobuf"
TRACE, SPAN = b"\1" * 16, b"\2" * 8
QUICK = {"read_s": 3, "header_s": 3}
"""Slow clients are not waited for longer than a test likes to."""


@dataclass
class Bridge:
    settings: Settings
    process: subprocess.Popen[bytes]

    def send(
        self, path: str, body: bytes = b"", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        port = self.settings.otlp_http_port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def export(self, body: bytes, key: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.send("/v1/traces", body, x_api_key=key, **{"content_type": PROTOBUF, **headers})

    def readyz(self) -> str:
        """Returns what its probe tells: `ok`, or what it waits for."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.settings.metrics_port, timeout=5)) as probe:
            probe.request("GET", "/readyz")
            with probe.getresponse() as answer:
                told = answer.read().decode().strip()
                assert (answer.status == 200) == (told == "ok")
                return told

    def peak_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def start_bridge(
    settings: Settings, *, ready: bool = True, limits: Mapping[str, int] | None = None, log: Path | None = None
) -> Bridge:
    """Returns a bridge that answers; `limits` are those of `VEDETTE_BRIDGE_*`, `log` is where it writes what it tells."""
    bounds = {f"VEDETTE_BRIDGE_{name.upper()}": str(value) for name, value in {**QUICK, **(limits or {})}.items()}
    env = {**os.environ, **settings.environment(), **bounds}
    with ExitStack() as files:
        output = files.enter_context(log.open("wb")) if log else None
        process = subprocess.Popen([sys.executable, "-m", "streams.bridge"], env=env, stderr=output)
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
    spec = KeySpec(key_hash=key_hash(key), scopes=scopes, projects=projects)
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


def records(settings: Settings, topic: Topic) -> list[tuple[bytes, dict[str, Any]]]:
    """Returns value and headers of everything that stands on a topic now."""
    consumer: Consumer = clients.consumer(settings, "t")
    name = clients.topic_name(settings, topic)
    found: list[tuple[bytes, dict[str, Any]]] = []
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


def wait_known(bridge: Bridge, key: str, status: int = 200) -> None:
    deadline = time.monotonic() + 5
    while bridge.export(b"", key)[0] != status:
        assert time.monotonic() < deadline, "the key's newest version did not count within 5 s"
        time.sleep(0.1)
