"""What a program says about the span and the trace that it is in, and how it takes them to another process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span, get_current_span

from vedette import propagation
from vedette.core import Core, guarded
from vedette.recording import recording_of, text
from vedette.scope import in_scope, name_text, scope_for


class Current:
    """The part of a tracer that is about the current span."""

    core: Core

    @guarded
    def set_session_id(self, session_id: str) -> None:
        """Names the session of the current trace: of its open spans, those to come, and its examples."""
        self._tell(session_id=session_id)

    @guarded
    def set_customer_id(self, customer_id: str) -> None:
        """Names the customer of the current trace: of its open spans, those to come, and its examples."""
        self._tell(customer_id=customer_id)

    @guarded
    def set_attribute(self, key: str, value: Any) -> None:
        """Sets an attribute of the current span; what is no text, number or list of them is kept as JSON."""
        self.set_attributes({key: value})

    @guarded
    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Sets attributes of the current span."""
        if self.core.on:
            get_current_span().set_attributes({str(key): _attribute(value) for key, value in attributes.items()})

    @guarded
    def set_input(self, value: Any) -> None:
        """Keeps a value as the input of the current span."""
        recording = recording_of(get_current_span())
        if recording is not None:
            recording.set_input(value)

    @guarded
    def set_output(self, value: Any) -> None:
        """Keeps a value as the output of the current span, when what its function returns is not."""
        recording = recording_of(get_current_span())
        if recording is not None:
            recording.set_output(value)

    @guarded
    def tag(self, *tags: str) -> None:
        """Adds tags to the current span."""
        span = get_current_span()
        if self.core.on and span.is_recording():
            present = (getattr(span, "attributes", None) or {}).get("vedette.tags", ())
            added = [tag for one in tags for tag in ([one] if isinstance(one, str) else one)]
            span.set_attribute("vedette.tags", tuple(dict.fromkeys((*present, *map(name_text, added)))))

    def get_current_span(self) -> Span:
        """Returns OpenTelemetry's current span."""
        return get_current_span()

    def get_tracer(self) -> trace.Tracer:
        """Returns the OpenTelemetry tracer by which this one starts its spans."""
        return self.core.otel

    def _tell(self, **told: str) -> None:
        if not self.core.on:
            return
        context = get_current()
        scope = scope_for(self.core, context)
        scope.trace.tell(**told)
        inside = in_scope(scope, context)
        if inside is not context:
            attach(inside)  # for the spans that this task or thread starts from now on
        span = get_current_span(context)
        if span.is_recording() and recording_of(span) is None:
            span.set_attributes(scope.trace.attributes)

    # Across processes

    def inject(self, headers: MutableMapping[str, str] | None = None) -> MutableMapping[str, str]:
        """Writes the trace, agent, session and customer into headers of a request, and returns them."""
        found: MutableMapping[str, str] = {} if headers is None else headers
        if self.core.on:
            try:
                propagation.inject(found)
            except Exception as error:
                self.core.trouble("a trace could not be carried on", error)
        return found

    def extract(self, headers: Mapping[str, str]) -> Context:
        """Returns OpenTelemetry's context in which the sender of these headers goes on."""
        try:
            return propagation.extract(self.core, headers)
        except Exception as error:
            self.core.trouble("a trace could not be continued", error)
            return get_current()

    @contextmanager
    def continue_trace(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Makes the spans inside `with` part of the trace that the sender of these headers is in."""
        if not self.core.on:
            yield
            return
        token = attach(self.extract(headers))
        try:
            yield
        finally:
            detach(token)


def _attribute(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float)):
        return text(value) if isinstance(value, str) else value
    if isinstance(value, (list, tuple)) and value and all(type(one) is type(value[0]) for one in value) and type(value[0]) in (str, bool, int, float):  # fmt: skip
        return tuple(value)
    return text(value)
