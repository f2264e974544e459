"""The bridge's HTTP: which path does what, and `export_traces`, by which every span enters."""  # noqa: A005 - a room of the house, always imported by its full name

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from prometheus_client import Counter

from schemas.topics import Topic
from streams.bridge import body, metrics, otlp
from streams.bridge.admit import Caller, Gate, project_of
from streams.bridge.answer import JSON, PROTOBUF, Answer, Form, Refused
from streams.bridge.examples import Examples
from streams.bridge.forward import Forward
from streams.bridge.limits import Limits
from streams.bridge.publish import Outgoing, Publisher, Unavailable
from streams.bridge.rsgi import Headers, HTTPProtocol, ProtocolClosed, ProtocolError, Scope
from streams.observe import Health

log = structlog.get_logger()
T = TypeVar("T")

TRACES = frozenset(("/v1/traces", "/otel/v1/traces"))
EXAMPLES = "/v1/examples"
API = "/api/v1/"

INLINE_BYTES = 256 * 1024
"""A larger body is inflated and looked at in a thread, one at a time: it would hold up all others."""

RETRY_AFTER_S = 2


@dataclass
class Bridge:
    """The application that granian serves."""

    gate: Gate
    publisher: Publisher
    examples: Examples
    forward: Forward
    limits: Limits
    health: Health
    in_flight: int = 0
    leaving: bool = False
    _large: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "large-bodies"))

    def __post_init__(self) -> None:
        self._held = body.Held(self.limits.held_bytes)
        self._counts: dict[tuple[str, int], Counter] = {}

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answers one request."""
        if scope.proto != "http":
            return
        self.in_flight += 1
        try:
            if scope.path.startswith(API):
                await self.forward.pass_on(scope, proto)
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
        except Refused as refused:
            return refused.answer(_form(scope.path, headers))
        except Unavailable as error:
            log.warning("not acknowledged", reason=str(error), path=scope.path)
            late = Refused(
                503,
                f"Kafka did not acknowledge in time ({error}); send again, ids keep it from counting twice",
                RETRY_AFTER_S,
            )
            return late.answer(_form(scope.path, headers))
        except (ProtocolClosed, ProtocolError):
            raise
        except Exception:
            log.exception("the bridge failed", path=scope.path)
            return Refused(500, "the bridge failed on this request; its log tells why").answer(
                _form(scope.path, headers)
            )

    async def _routed(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        path = scope.path
        if path not in TRACES and path != EXAMPLES:
            raise Refused(
                404,
                f"there is no {path} here: traces go to /v1/traces, examples to /v1/examples, the api answers below /api/v1",
            )
        if scope.method != "POST":
            raise Refused(405, f"{path} takes POST, not {scope.method}", allow="POST")
        if self.leaving or self.health.waiting_for:
            raise Refused(
                503, f"the bridge waits for {self.health.waiting_for or 'its end'}; send again", RETRY_AFTER_S
            )
        handle = self.take_examples if path == EXAMPLES else self.export_traces
        return await handle(scope, headers, proto)

    async def export_traces(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Takes an ExportTraceServiceRequest: on `otlp_spans` and acknowledged before the answer is 200.

        Raises:
            Refused: it is not taken.
            Unavailable: Kafka did not acknowledge it in time.

        """
        caller, project = self._admitted(scope, headers)
        kind = _content_type(headers, JSON, PROTOBUF)
        with self._held.request() as charge:
            sent = await body.read(headers, proto, self.limits, charge)
            accepted, size = await self._aside(len(sent), self._taken, sent, _encoding(headers), caller, kind)
            charge(size)
            self.gate.bytes.take(caller.key_id, size)
            if accepted.records:
                marks = _marks(headers, project, kind)
                await self._publish(
                    [Outgoing(Topic.OTLP_SPANS, accepted.key, record, marks) for record in accepted.records]
                )
        metrics.SPANS.inc(accepted.spans)
        metrics.BYTES.inc(size)
        for reason, number in accepted.rejected.items():
            metrics.REJECTED.labels(reason).inc(number)
        return otlp.answer(accepted.rejected, is_json=kind == JSON)

    def _taken(self, sent: bytes, encoding: str, caller: Caller, kind: str) -> tuple[otlp.Accepted, int]:
        plain = unkeyed(body.inflate(sent, encoding, self.limits), caller)
        return otlp.accept(plain, self.limits, is_json=kind == JSON), len(plain)

    async def take_examples(self, scope: Scope, headers: Headers, proto: HTTPProtocol) -> Answer:
        """Takes examples: on `vedette.examples` and acknowledged before the answer is 200.

        Raises:
            Refused: none of them is taken.
            Unavailable: Kafka did not acknowledge them in time.

        """
        caller, project = self._admitted(scope, headers)
        _content_type(headers, JSON)
        with self._held.request() as charge:
            sent = await body.read(headers, proto, self.limits, charge)
            plain = unkeyed(body.inflate(sent, _encoding(headers), self.limits), caller)
            charge(len(plain))
            self.gate.bytes.take(caller.key_id, len(plain))
            taken = await self._aside(
                len(plain), self.examples.take, plain, project, body.header(headers, "idempotency-key")
            )
            if taken.records:
                marks = _marks(headers, project, "avro/binary")
                await self._publish([Outgoing(Topic.EXAMPLES, key, record, marks) for key, record in taken.records])
        metrics.EXAMPLES.inc(len(taken.records))
        metrics.BYTES.inc(len(plain))
        return Answer(200, JSON, taken.answer)

    def _admitted(self, scope: Scope, headers: Headers) -> tuple[Caller, str]:
        """Before the body is read: a stranger's is never."""
        get = headers.get
        address = scope.client.rpartition(":")[0]
        caller = self.gate.caller(get("authorization", ""), get("x-api-key", ""), address, "ingest")
        asked = body.header(headers, "x-vedette-project") or body.header(headers, "x-project-id")
        return caller, project_of(caller, asked)

    async def _aside(self, size: int, work: Callable[..., T], *arguments: object) -> T:
        if size <= INLINE_BYTES:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._large, work, *arguments)

    async def _publish(self, records: list[Outgoing]) -> None:
        began = time.perf_counter()
        await self.publisher.publish(records)
        metrics.ACK_SECONDS.observe(time.perf_counter() - began)

    def _count(self, path: str, status: int) -> None:
        known = path if path in TRACES or path == EXAMPLES else "other"
        counter = self._counts.get((known, status))
        if counter is None:
            counter = self._counts[known, status] = metrics.REQUESTS.labels(known, str(status))
        counter.inc()


def unkeyed(plain: bytes, caller: Caller) -> bytes:
    """Returns a body in which the caller's own key is overwritten by as many `*`: some SDKs send it along."""
    return plain.replace(caller.key, b"*" * len(caller.key)) if caller.key in plain else plain


def _marks(headers: Headers, project: str, content_type: str) -> list[tuple[str, bytes]]:
    marks = [("vedette-project", project.encode()), ("content-type", content_type.encode())]
    traceparent = headers.get("traceparent")
    if traceparent:
        marks.append(("traceparent", traceparent.encode()))
    return marks


def _content_type(headers: Headers, *taken: str) -> str:
    kind: str = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in taken:
        raise Refused(415, f"content-type {kind!r} is not taken; send {' or '.join(taken)}")
    return kind


def _encoding(headers: Headers) -> str:
    encoding: str = headers.get("content-encoding", "")
    return encoding.strip().lower()


def _form(path: str, headers: Headers) -> Form:
    """OTLP's own errors for OTLP's paths, in the encoding of the request."""
    if path == EXAMPLES or not path.startswith(("/v1/", "/otel/")):
        return "json"
    return "status-json" if headers.get("content-type", "").startswith(JSON) else "status-protobuf"
