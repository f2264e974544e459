"""OTLP over gRPC: `TraceService/Export` and `LogsService/Export`, the second door to the room behind HTTP's exports."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc  # type: ignore[import-untyped]  # it brings no types

from streams.bridge import metrics
from streams.bridge.answer import PROTOBUF, Refused
from streams.bridge.headers import marks_of
from streams.bridge.http import LOG_EVENTS, NO_METRICS, SPANS, Bridge, Signal, refusal
from streams.bridge.limits import Limits
from streams.bridge.wire import varint

TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"
METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"
SIGNALS = {TRACES: SPANS, LOGS: LOG_EVENTS, METRICS: None}
"""What each service takes; None: its callers are told that it is not kept here."""

IDLE_MS = 300_000
"""A connection without calls is closed after this time: its client may be gone without a word, and opens another one if not."""

DETAILS = "grpc-status-details-bin"
RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"

_ENCODINGS = {b"\x1f\x8b": "gzip", b"x": "deflate"}
"""By what a message begins with when it is compressed; no request of OTLP's begins so."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class Service:
    """One of OTLP's, of one method: takes what exporters send, as the bytes that they send."""

    bridge: Bridge
    name: str
    signal: Signal | None

    async def export(self, _: object, context: Any) -> bytes:
        """Answers one call: when what it brings is on Kafka and acknowledged, else with a status that tells why not."""
        path = export_path(self.name)
        self.bridge.in_flight += 1
        status = 499
        try:
            answer = await self._taken(context)
            status = 200
            return answer
        except Exception as error:
            refused = refusal(error, path)
            status = refused.status
            details = ((DETAILS, status_of(refused)),)
            return bytes(await context.abort(_CODES[refused.code], refused.message, details))  # which raises
        finally:
            self.bridge.in_flight -= 1
            metrics.REQUESTS.labels(path, str(status)).inc()

    async def _taken(self, context: Any) -> bytes:
        if self.signal is None:
            raise Refused(404, NO_METRICS)
        bridge = self.bridge
        bridge.ensure_open()
        metadata = dict(context.invocation_metadata())
        caller, project = bridge.admitted(metadata, address(context.peer()))
        with bridge.held.request() as charge:
            sent = await _message(context, bridge.limits)
            charge(len(sent))
            marks = marks_of(metadata, project, PROTOBUF)
            answer = await bridge.take(self.signal, sent, encoding(sent), caller, PROTOBUF, marks, charge)
        return answer.body


def export_path(service: str) -> str:
    """Returns the path of a service's method, as HTTP/2 carries it."""
    return f"/{service}/Export"


async def _message(context: Any, limits: Limits) -> bytes:
    """The one message of a call, in bounded time. One that is too large never gets here: gRPC has answered then."""
    try:
        async with asyncio.timeout(limits.read_s):
            message = await context.read()
    except TimeoutError:
        raise Refused(408, f"the message did not come within {limits.read_s:g} s") from None
    if not isinstance(message, bytes):
        raise Refused(400, "the call holds no message")
    return message


def encoding(sent: bytes) -> str:
    """Returns how a message is compressed, as HTTP names it; gRPC's own header is not shown to us."""
    return next((name for begin, name in _ENCODINGS.items() if sent.startswith(begin)), "identity")


def address(peer: str) -> str:
    """Returns where a call comes from, without its port.

    >>> address("ipv4:10.0.0.7:50000"), address("ipv6:%5B::1%5D:50000")
    ('10.0.0.7', '[::1]')
    """
    return unquote(peer.partition(":")[2].rpartition(":")[0])


def status_of(refused: Refused) -> bytes:
    """Returns a refusal as google.rpc.Status: with RetryInfo when whoever sends should do so again."""
    status = refused.answer("status-protobuf").body
    if refused.retry_after_s is None:
        return status
    delay = b"\x08" + varint(refused.retry_after_s)  # google.protobuf.Duration: seconds = 1
    return status + _field(3, _field(1, RETRY_INFO) + _field(2, _field(1, delay)))


def _field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def server(bridge: Bridge, host: str, port: int) -> Any:
    """Returns a `grpc.aio.Server` that is bound to an address and not started.

    Raises:
        RuntimeError: the address is taken.

    """
    made = grpc.aio.server(options=_options(bridge.limits))
    for service, signal in SIGNALS.items():
        method = grpc.stream_unary_rpc_method_handler(Service(bridge, service, signal).export)
        made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        made.add_insecure_port(where)
    except RuntimeError as error:
        raise RuntimeError(f"gRPC cannot listen on {where} (VEDETTE_OTLP_GRPC_PORT): {error}") from None
    return made


def _options(limits: Limits) -> list[tuple[str, int]]:
    """A call is read as a stream of one message, so that its sender is known before, and inflated by us, under HTTP's bounds."""
    return [
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.so_reuseport", 0),  # a taken port is an error
        ("grpc.max_concurrent_streams", 100),
        ("grpc.server_handshake_timeout_ms", int(limits.header_s * 1000)),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # Collectors that keep connections alive are welcome
        ("grpc.keepalive_permit_without_calls", 1),
    ]
