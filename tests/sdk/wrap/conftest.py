"""A provider, and a tracer whose spans can be looked at."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from vedette.core import Core

from tests.sdk.wrap.servers import Provider, provider


class Spans:
    """A tracer that keeps its spans."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        outbox: Any = SimpleNamespace(put_recording=lambda _: None)
        self.core = Core("default", {}, outbox, otel=self.provider.get_tracer("vedette"), on=True)

    @property
    def ended(self) -> list[ReadableSpan]:
        return list(self._kept.get_finished_spans())

    @property
    def one(self) -> "Told":
        (span,) = self.ended
        return Told(span)


class Told:
    """What one span tells."""

    def __init__(self, span: ReadableSpan) -> None:
        self.span = span
        self.name = span.name
        self.attributes = dict(span.attributes or {})

    def __getitem__(self, name: str) -> Any:
        value = self.attributes.get(f"gen_ai.{name}", self.attributes.get(name))
        return list(value) if isinstance(value, tuple) else value

    @property
    def input(self) -> Any:
        return json.loads(self["input.messages"])

    @property
    def output(self) -> Any:
        return json.loads(self["output.messages"])

    @property
    def tokens(self) -> tuple[int | None, ...]:
        """input, output, read from cache, written to cache, reasoning"""
        names = ("input", "output", "cache_read.input", "cache_creation.input", "reasoning.output")
        return tuple(self[f"usage.{name}_tokens"] for name in names)

    @property
    def failed(self) -> str | None:
        """The kind of error, None without any."""
        return None if self.span.status.is_ok or self.span.status.status_code.name == "UNSET" else self["error.type"]


@pytest.fixture
def tracer() -> Iterator[Any]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def server() -> Iterator[Provider]:
    with provider() as running:
        yield running
