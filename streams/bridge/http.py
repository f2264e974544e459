"""The bridge's HTTP: which path does what, and `export_traces`, by which every span enters."""  # noqa: A005 - a room of the house, always imported by its full name

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import structlog
from prometheus_client import Counter

from schemas.topics import Topic
from streams.bridge import body, logs, metrics, otlp
from streams.bridge.admit import Caller, Gate, project_of
from streams.bridge.answer import JSON, PROTOBUF, Answer, Form, Refused
from streams.bridge.examples import Examples, Taken
from streams.bridge.forward import Forward
from streams.bridge.headers import Fields, Marks, content_type_of, encoding_of, header, marks_of
from streams.bridge.judgeval import Ask, Judgeval, ask_of, is_own, is_passed_on
from streams.bridge.limits import Limits
from streams.bridge.publish import Outgoing, Publisher, Unavailable
from streams.bridge.rsgi import Headers, HTTPProtocol, ProtocolClosed, ProtocolError, Scope
from streams.observe import Health

log = structlog.get_logger()
T = TypeVar("T")

TRACES = frozenset(("/v1/traces", "/otel/v1/traces"))
LOGS = frozenset(("/v1/logs", "/otel/v1/logs"))
METRICS = frozenset(("/v1/metrics", "/otel/v1/metrics"))
NO_METRICS = "metrics are not kept here; set OTEL_METRICS_EXPORTER=none, or send them elsewhere"
EXAMPLES = "/v1/examples"
PATHS = TRACES | LOGS | {EXAMPLES}
API = "/api/v1/"

INLINE_BYTES = 512 * 1024
"""A larger body is inflated, and what is in it looked at, in a thread, one at a time: it would hold up all others."""

RETRY_AFTER_S = 2


class Signal(NamedTuple):
    """One of OTLP's: where its records go, what is kept of a body, how it is answered, what is counted."""

    topic: Topic
    accept: Callable[..., otlp.Accepted]
    answer: Callable[..., Answer]
    kept: Counter


SPANS = Signal(Topic.OTLP_SPANS, otlp.accept, otlp.answer, metrics.SPANS)
LOG_EVENTS = Signal(Topic.OTLP_LOGS, logs.accept, logs.answer, metrics.LOG_EVENTS)


@dataclass
class Bridge:
    """The application that granian serves."""

    gate: Gate
    publisher: Publisher
    examples: Examples
    judgeval: Judgeval
    forward: Forward
    limits: Limits
    health: Health
    in_flight: int = 0
    leaving: bool = False
    _large: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "large-bodies"))

    def __post_init__(self) -> None:
        self.held = body.Held(self.limits.held_bytes)
        self._counts: dict[tuple[str, int], Counter] = {}

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answers one request."""
        if scope.proto != "http":
            return
        self.in_flight += 1
        try:
            if scope.path not in PATHS and is_passed_on(scope.path):
                await self.forward.pass_on(scope, proto, "judgeval")
            elif scope.path.startswith(API):
                await self.forward.pass_on(scope, proto, "json")
            else:
                answer = await self._answer(scope, proto)
                self._count(scope.path, answer.status)
                proto.response_bytes(answer.status, answer.all_headers(), answer.body)
        except (ProtocolClosed, ProtocolError):
            log.debug("the client went away", path=scope.path)
        finally:
            self.in_flight -= 1

    async def _answer(self, scope: Scope, proto: HTTPProtocol) -> Answer:
        headers = scope.headers
        try:
            return await self._routed(scope, headers, proto)
        except (ProtocolClosed, ProtocolError):
            raise
        except Exception as error:
            return refusal(error, scope.path).answer(_form(scope.path, headers))

    async def _routed(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        path = scope.path
        if path in METRICS:
            raise Refused(404, NO_METRICS)
        ask = None if path in PATHS else ask_of(path)
        if path not in PATHS and ask is None:
            raise Refused(
                404,
                f"there is no {path} here: traces go to /v1/traces, logs to /v1/logs, examples to /v1/examples, the api answers below /api/v1",
            )
        if scope.method != "POST":
            raise Refused(405, f"{path} takes POST, not {scope.method}", allow="POST")
        self.ensure_open()
        if ask is not None:
            return await self.take_judgeval(ask, scope, headers, proto)
        if path == EXAMPLES:
            return await self.take_examples(scope, headers, proto)
        handle = self.export_logs if path in LOGS else self.export_traces
        return await handle(scope, headers, proto)

    async def export_traces(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Takes an ExportTraceServiceRequest: on `otlp_spans` and acknowledged before the answer is 200.

        Raises:
            Refused: it is not taken.
            Unavailable: Kafka did not acknowledge it in time.

        """
        return await self._export(SPANS, scope, headers, proto)

    async def export_logs(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Takes an ExportLogsServiceRequest: what tells a span's content is on `otlp_logs` before the answer is 200, the rest is let go.

        Raises:
            Refused: it is not taken.
            Unavailable: Kafka did not acknowledge it in time.

        """
        return await self._export(LOG_EVENTS, scope, headers, proto)

    async def _export(self, signal: Signal, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        caller, project = self._admitted(scope, headers)
        kind = content_type_of(headers, JSON, PROTOBUF)
        marks = marks_of(headers, project, kind)
        with self.held.request() as charge:
            sent = await body.read(headers, proto, self.limits, charge)
            return await self.take(signal, sent, encoding_of(headers), caller, kind, marks, charge)

    def ensure_open(self) -> None:
        """Returns while requests are taken.

        Raises:
            Refused: 503, Kafka is awaited, or the bridge is leaving.

        """
        if self.leaving or self.health.waiting_for:
            raise Refused(
                503, f"the bridge waits for {self.health.waiting_for or 'its end'}; send again", RETRY_AFTER_S
            )

    async def take(
        self,
        signal: Signal,
        sent: bytes,
        encoding: str,
        caller: Caller,
        kind: str,
        marks: Marks,
        charge: Callable[[int], None],
    ) -> Answer:
        """Returns the answer to an export of spans or logs, by whichever door it came, when it is acknowledged.

        `sent` is the body as it came, in this content encoding and of this content type; `marks` go on its records as headers.

        Raises:
            Refused: it is not taken.
            Unavailable: Kafka did not acknowledge it in time.

        """
        plain = await self._plain(sent, encoding, caller)
        charge(len(plain))
        self.gate.bytes.take(caller.key_id, len(plain))
        accept = partial(signal.accept, plain, self.limits, is_json=kind == JSON)
        accepted = await self._aside(len(plain), accept)
        if accepted.records:
            await self._publish([Outgoing(signal.topic, None, record, marks) for record in accepted.records])
        signal.kept.inc(accepted.spans)
        metrics.BYTES.inc(len(plain))
        for reason, number in accepted.rejected.items():
            metrics.REJECTED.labels(reason).inc(number)
        return signal.answer(accepted.rejected, is_json=kind == JSON)

    async def _plain(self, sent: bytes, encoding: str, caller: Caller) -> bytes:
        """A body without its content encoding and without the caller's own key."""
        return unkeyed(await self._aside(len(sent), body.inflate, sent, encoding, self.limits), caller)

    async def take_examples(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Takes examples: on `vedette.examples` and acknowledged before the answer is 200.

        Raises:
            Refused: none of them is taken.
            Unavailable: Kafka did not acknowledge them in time.

        """
        caller, project = self._admitted(scope, headers)
        key = header(headers, "idempotency-key")
        return await self._write(headers, proto, caller, lambda plain: self.examples.take(plain, project, key))

    async def take_judgeval(self, ask: Ask, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Answers a call of judgeval's; what it brings is on Kafka and acknowledged before the answer is 200.

        Raises:
            Refused: it is not taken.
            Unavailable: Kafka did not acknowledge it in time.

        """
        caller = self._caller(headers, scope.client.rpartition(":")[0])
        asked = _asked(headers)
        take = partial(self.judgeval.take, ask, lambda named: project_of(caller, asked or named))
        return await self._write(headers, proto, caller, take)

    async def _write(
        self, headers: Headers, proto: HTTPProtocol, caller: Caller, take: Callable[[bytes], Taken]
    ) -> Answer:
        """Reads a body of JSON and writes what is in it."""
        content_type_of(headers, JSON)
        with self.held.request() as charge:
            sent = await body.read(headers, proto, self.limits, charge)
            plain = await self._plain(sent, encoding_of(headers), caller)
            charge(len(plain))
            self.gate.bytes.take(caller.key_id, len(plain))
            taken = await self._aside(len(plain), take, plain)
            if taken.records:
                marks = marks_of(headers, taken.project, "avro/binary")
                await self._publish([Outgoing(taken.topic, key, record, marks) for key, record in taken.records])
        if taken.topic is Topic.EXAMPLES:
            metrics.EXAMPLES.inc(len(taken.records))
        metrics.BYTES.inc(len(plain))
        return Answer(200, JSON, taken.answer)

    def _admitted(self, scope: Scope, headers: Headers) -> tuple[Caller, str]:
        return self.admitted(headers, scope.client.rpartition(":")[0])

    def admitted(self, headers: Fields, address: str) -> tuple[Caller, str]:
        """Returns who sent a request and for which project; called before its body is read: a stranger's is never.

        Raises:
            Refused: 400, 401, 403 or 429.

        """
        caller = self._caller(headers, address)
        return caller, project_of(caller, _asked(headers))

    def _caller(self, headers: Fields, address: str) -> Caller:
        get = headers.get
        return self.gate.caller(get("authorization", ""), get("x-api-key", ""), address, "ingest")

    async def _aside(self, size: int, work: Callable[..., T], *arguments: object) -> T:
        if size <= INLINE_BYTES:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._large, work, *arguments)

    async def _publish(self, records: list[Outgoing]) -> None:
        began = time.perf_counter()
        await self.publisher.publish(records)
        metrics.ACK_SECONDS.observe(time.perf_counter() - began)

    def _count(self, path: str, status: int) -> None:
        known = path if path in PATHS else "judgeval" if is_own(path) else "other"
        counter = self._counts.get((known, status))
        if counter is None:
            counter = self._counts[known, status] = metrics.REQUESTS.labels(known, str(status))
        counter.inc()


def _asked(headers: Fields) -> str:
    return header(headers, "x-vedette-project") or header(headers, "x-project-id")


def unkeyed(plain: bytes, caller: Caller) -> bytes:
    """Returns a body in which the caller's own key is overwritten by as many `*`: some SDKs send it along."""
    return plain.replace(caller.key, b"*" * len(caller.key)) if caller.key in plain else plain


def refusal(error: Exception, path: str) -> Refused:
    """Returns what the sender of a request is told that was not taken."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Unavailable):
        log.warning("not acknowledged", reason=str(error), path=path)
        told = f"Kafka did not acknowledge in time ({error}); send again, ids keep it from counting twice"
        return Refused(503, told, RETRY_AFTER_S)
    log.error("the bridge failed", path=path, exc_info=error)
    return Refused(500, "the bridge failed on this request; its log tells why")


def _form(path: str, headers: Headers) -> Form:
    """OTLP's own errors for OTLP's paths, in the encoding of the request."""
    if is_own(path):
        return "judgeval"
    if path == EXAMPLES or not path.startswith(("/v1/", "/otel/")):
        return "json"
    return "status-json" if headers.get("content-type", "").startswith(JSON) else "status-protobuf"
