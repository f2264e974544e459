"""How many spans a CPU-second of the bridge takes, over HTTP beside a bare granian receiver, and over gRPC."""

import gzip
import http.client
import multiprocessing
import os
import random
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing

import grpc  # type: ignore[import-untyped]
import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.codec import encode
from schemas.config import ConfigEntry
from schemas.documents.key import KeySpec, key_hash, key_id, new_key
from schemas.topics import Topic
from streams import kafka as clients
from streams import topics
from streams.bridge.grpc import TRACES, export_path
from streams.local.ports import free_port
from streams.settings import Settings
from tests.bench.figures import cpu_seconds

pytestmark = [pytest.mark.bench, pytest.mark.integration]

SPANS, CONNECTIONS, SECONDS, ROUNDS = 100, 16, 1.5, 5

Door = Callable[[int, bytes, dict[str, str], float], int]

BARE = """
import sys, uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from isal import isal_zlib
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

async def app(scope, proto):
    body = await proto()
    if scope.headers.get("content-encoding") == "gzip":
        body = isal_zlib.decompressobj(31).decompress(body)
    ExportTraceServiceRequest.FromString(body)
    proto.response_bytes(200, [("content-type", "application/x-protobuf")], b"")

async def main():
    await Server(app, port=int(sys.argv[1]), interface=Interfaces.RSGI, http=HTTPModes.http1, websockets=False, log_enabled=False).serve()

uvloop.run(main())
"""


def spans_body(size: int) -> bytes:
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(2000)]
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(SPANS):
        span = scope.spans.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name="chat")
        for n in range(12):
            span.attributes.add(key=f"gen_ai.request.k{n}").value.string_value = " ".join(chance.choices(words, k=4))
        text = span.attributes.add(key="gen_ai.input.messages")
        while span.ByteSize() < size - 20:
            text.value.string_value += " " + " ".join(chance.choices(words, k=max(1, (size - span.ByteSize()) // 12)))
    return request.SerializeToString()


def load(port: int, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """Runs in a process of its own: a bounded number of connections, each sends when it was answered."""
    end = time.monotonic() + seconds

    def client(_: int) -> int:
        sent = 0
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            while time.monotonic() < end:
                connection.request("POST", "/v1/traces", body, headers)
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                sent += 1
        return sent

    with ThreadPoolExecutor(CONNECTIONS) as clients_of:
        return sum(clients_of.map(client, range(CONNECTIONS)))


def load_grpc(port: int, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """The same over gRPC, a channel for each client."""
    end = time.monotonic() + seconds
    metadata = [("x-api-key", headers["x-api-key"])]

    def client(number: int) -> int:
        sent = 0
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("bench.client", number)]) as channel:
            export = channel.unary_unary(export_path(TRACES))
            while time.monotonic() < end:
                export(body, 20, metadata)
                sent += 1
        return sent

    with ThreadPoolExecutor(CONNECTIONS) as clients_of:
        return sum(clients_of.map(client, range(CONNECTIONS)))


def spans_per_cpu_s(pid: int, port: int, body: bytes, headers: dict[str, str], door: Door = load) -> float:
    began = cpu_seconds(pid)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside:
        sent = aside.submit(door, port, body, headers, SECONDS).result()
    return sent * SPANS / (cpu_seconds(pid) - began)


def test_the_bridge_takes_most_of_what_a_bare_receiver_takes(
    kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=topic_prefix,
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=free_port(),
    )
    topics.create(settings)
    key, bare_port = new_key(secrets.token_bytes(32), secrets.token_bytes(6)), free_port()
    spec = KeySpec(key_hash=key_hash(key), scopes=("ingest",))
    producer = clients.producer(settings)
    entry = ConfigEntry(
        project="", kind="Key", name=str(key_id(key)), version="1", spec=spec.model_dump_json().encode()
    )
    producer.produce(clients.topic_name(settings, Topic.CONFIG), value=encode(entry))
    producer.flush(10)
    limits = {"VEDETTE_BRIDGE_KEY_BYTES_PER_S": "1e12"}
    bridge = subprocess.Popen(
        [sys.executable, "-m", "streams.bridge"], env={**os.environ, **settings.environment(), **limits}
    )
    bare = subprocess.Popen([sys.executable, "-c", BARE, str(bare_port)])
    headers = {"content-type": "application/x-protobuf", "x-api-key": key}
    told: dict[str, object] = {"bench": "bridge"}
    try:
        for port in (settings.otlp_http_port, bare_port):
            wait_until_served(port, headers)
        for name, body, more in (
            ("1kB", spans_body(1024), {}),
            ("4kB_gzip", gzip.compress(spans_body(4096), 6), {"content-encoding": "gzip"}),
        ):
            rates: dict[str, list[float]] = {"bridge": [], "bare": []}
            for _ in range(ROUNDS):
                rates["bare"].append(spans_per_cpu_s(bare.pid, bare_port, body, headers | more))
                rates["bridge"].append(spans_per_cpu_s(bridge.pid, settings.otlp_http_port, body, headers | more))
            medians = {who: statistics.median(rate) for who, rate in rates.items()}
            told |= {f"{who}_spans_per_cpu_s_{name}": round(rate) for who, rate in medians.items()}
            told[f"ratio_{name}"] = round(medians["bridge"] / medians["bare"], 2)
        grpc_port, plain = settings.otlp_grpc_port, spans_body(1024)
        over_grpc = [spans_per_cpu_s(bridge.pid, grpc_port, plain, headers, load_grpc) for _ in range(ROUNDS)]
        told["grpc_spans_per_cpu_s_1kB"] = round(statistics.median(over_grpc))
        told["ratio"] = min(float(str(told[f"ratio_{name}"])) for name in ("1kB", "4kB_gzip"))
    finally:
        for process in (bridge, bare):
            process.terminate()
            process.wait(20)
    with capsys.disabled():
        print(orjson.dumps(told).decode())


def wait_until_served(port: int, headers: dict[str, str]) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            load(port, b"", headers, 0.01)
        except (OSError, AssertionError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return
