"""OpenTelemetry's provider: the application's own gets our processor and stays; without one ours becomes the global one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from vedette import __version__
from vedette.core import Core, cores, current, guarded
from vedette.outbox import ITEM_BYTES, SpanItem
from vedette.scope import scope_of

SCOPE = "vedette"
"""the name of our instrumentation scope"""

MAX_OPEN = 10_000
"""spans of others whose tracer is remembered; those after them go to the first tracer"""


class Processor(SpanProcessor):
    """Takes the spans that others start in a provider: each gets its scope's context and goes to its scope's tracer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[int, Core] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Sets agent, session, customer and environment."""
        if not _is_ours(span):
            self._begin(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hands the span over."""
        if not _is_ours(span):
            self._take(span)

    @guarded
    def _begin(self, span: Span, parent_context: Context | None) -> None:
        scope = scope_of(parent_context)
        if scope is not None:
            span.set_attributes(scope.attributes)
            if scope.core is not self._core and len(self._open) < MAX_OPEN:
                self._open[span.get_span_context().span_id] = scope.core
        elif (core := self._default()) is not None:
            span.set_attributes(core.attributes)

    @guarded
    def _take(self, span: ReadableSpan) -> None:
        if span.context is None:
            return
        core = self._open.pop(span.context.span_id, None) or self._default()
        if core is not None and core.on and core.outbox is not None and span.context.trace_flags.sampled:
            size = sum([len(value) for value in (span.attributes or {}).values() if type(value) is str])
            core.outbox.put(SpanItem(span, ITEM_BYTES + size))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends what waits."""
        sender = self._core.sender
        return sender is None or sender.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Sends what waits; the tracer itself is shut down by its owner."""
        self.force_flush(2_000)

    def _default(self) -> Core | None:
        return self._core if self._core in cores else current()


def provider_for(core: Core, resource: Mapping[str, Any]) -> TracerProvider:
    """Returns the provider by which a tracer starts its spans.

    The application's, if it is OpenTelemetry's SDK; else one of our own, which becomes the global one if there is none.
    """
    present: object = trace.get_tracer_provider()
    if isinstance(present, TracerProvider) and not getattr(present, _OURS, False):
        if not getattr(present, _WATCHED, False):
            present.add_span_processor(Processor(core))
            setattr(present, _WATCHED, True)
        return present
    own = TracerProvider(sampler=_sampler(), resource=Resource.create(dict(resource)), shutdown_on_exit=False)
    setattr(own, _OURS, True)
    own.add_span_processor(Processor(core))
    if not isinstance(present, TracerProvider):
        trace.set_tracer_provider(own)
    return own


_OURS, _WATCHED = "_vedette_made", "_vedette_watched"


def tracer_of(provider: TracerProvider) -> trace.Tracer:
    """Returns the tracer of our own scope."""
    return provider.get_tracer(SCOPE, __version__)


def _sampler() -> ParentBased | None:
    """OpenTelemetry's own default, unless its variable asks for another."""
    return None if os.environ.get("OTEL_TRACES_SAMPLER") else ParentBased(ALWAYS_ON)


def _is_ours(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == SCOPE
