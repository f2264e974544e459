"""What a client knows of the spans that it sent: how each was meant, and which got a 2xx.

Everything that got one is in ClickHouse once; what did not may be there, since an answer can be lost.
"""

import random
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from tests.support.otlp import Reply, export_of
from tests.support.system import System, attributes

PROJECT = "shop"
AGENT = "CustomerServiceAgent"
WORDS = ("Of course.", "No.", "Your refund is on its way.")


@dataclass
class Ledger:
    """What a client knows of its spans: how each was meant, and which got a 2xx."""

    texts: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)


class _Noted(OTLPSpanExporter):
    """The stock exporter; the ledger learns what it could deliver."""

    ledger: Ledger

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self.ledger.accepted |= {subject_id(span) for span in spans}
        return result


def subject_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}:{context.span_id:016x}"


class Load:
    """About 50 spans a second: half by the stock SDK, half by plain HTTP, five in a body; nothing is sent twice by us."""

    def __init__(self, system: System) -> None:
        self.ledger = Ledger()
        self._system, self._key = system, system.key()
        self._stopping = threading.Event()
        self._random = random.Random(7)
        exporter = _Noted(
            system.bridge + "/v1/traces",
            headers={"authorization": f"Bearer {self._key}", "x-vedette-project": PROJECT},
        )
        exporter.ledger = self.ledger
        self._provider = TracerProvider(resource=Resource({"service.name": PROJECT}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._by_sdk, self._by_http)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._provider.shutdown()

    def _by_sdk(self) -> None:
        tracer = self._provider.get_tracer("agent")
        while not self._stopping.wait(0.04):
            with tracer.start_as_current_span("chat gpt-5-mini") as span:
                text = self._random.choice(WORDS)
                span.set_attributes(attributes(AGENT, text))
                context = span.get_span_context()
                self.ledger.texts[f"{context.trace_id:032x}:{context.span_id:016x}"] = text

    def _by_http(self) -> None:
        while not self._stopping.wait(0.2):
            replies = [
                Reply(secrets.token_hex(16), secrets.token_hex(8), self._random.choice(WORDS), AGENT) for _ in range(5)
            ]
            self.ledger.texts |= {reply.subject_id: reply.text for reply in replies}
            status, _ = self._system.post("/v1/traces", export_of(replies), self._key, PROJECT)
            if status == 200:
                self.ledger.accepted |= {reply.subject_id for reply in replies}
