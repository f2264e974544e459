"""One span of ours, from its start to its end. Nothing here raises, and nothing here waits."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode, set_span_in_context

from vedette.core import Core, current, guarded
from vedette.evaluate import TraceScorerConfig, put_wanted
from vedette.freeze import NOTHING, TEXT_CHARS, Frozen, cut, dump, freeze
from vedette.scope import Scope, in_scope, scope_for, scope_of

if TYPE_CHECKING:
    from vedette.tracer import Tracer

AttributeValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]

STACK_CHARS, STACK_FRAMES = 16 * 1024, 50


class Recording:
    """A span that is being recorded, or nothing that answers like one when its tracer is off.

    It need not be the current span, so it can live across suspensions of a generator and end in another thread.
    """

    __slots__ = ("_core", "context", "given", "returned", "scope", "size", "span", "told", "wanted")

    def __init__(self, core: Core, span: Span, scope: Scope, context: Context) -> None:
        self._core = core
        self.scope = scope
        self.span = span
        self.context = context
        """OpenTelemetry's context in which this span is the current one"""
        self.given: Any = NOTHING
        """its input, frozen"""
        self.returned: Any = NOTHING
        """its output, frozen"""
        self.told: dict[str, str] = {}
        """agent, session, customer and environment as its end finds them; no attributes of OpenTelemetry's span, which would cost 5 µs"""
        self.wanted: list[TraceScorerConfig] = []
        """scorers that judge it when it has ended"""
        self.size = 0
        """of the texts it holds"""

    @guarded
    def set(self, **attributes: AttributeValue | None) -> None:
        """Sets attributes; None leaves one out. Names with dots are given as `set(**{"gen_ai.request.model": "m"})`."""
        self.span.set_attributes({name: value for name, value in attributes.items() if value is not None})
        self.size += sum([len(value) for value in attributes.values() if type(value) is str])

    @guarded
    def set_input(self, value: Any) -> None:
        """Keeps a value as the span's input, as it is now."""
        self.given = self._frozen(value)

    @guarded
    def set_output(self, value: Any) -> None:
        """Keeps a value as the span's output, as it is now."""
        self.returned = self._frozen(value)

    @guarded
    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        """Adds an event at this moment."""
        self.span.add_event(name, attributes)

    @guarded
    def fail(self, exception: BaseException) -> None:
        """Marks the span as failed, with the exception's type, words and stack; `end` is still to come."""
        words = str(freeze(exception))
        frames = traceback.format_tb(exception.__traceback__, limit=-STACK_FRAMES)
        stack = "Traceback (most recent call last):\n" + "".join(frames) + words
        kind = type(exception)
        named = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        told = {
            "exception.type": named,
            "exception.message": words.partition(": ")[2],
            "exception.stacktrace": stack if len(stack) <= STACK_CHARS else cut(stack, STACK_CHARS),
        }
        self.span.add_event("exception", told)
        self.span.set_attribute("error.type", named)
        self.span.set_status(Status(StatusCode.ERROR, words))

    @guarded
    def end(self) -> None:
        """Ends the span and hands it over; a second call does nothing."""
        span = self.span
        if not span.is_recording():
            return
        self.told = self.scope.attributes
        span.end()
        span.__dict__.pop(_RECORDING, None)  # else the two would hold each other
        self._core.put_span(self)
        if self.wanted and self._core.judging:
            put_wanted(self._core, self, self.scope)

    def _frozen(self, value: Any) -> Any:
        if type(value) is str and len(value) <= TEXT_CHARS:
            self.size += len(value)
            return value
        frozen = Frozen()
        found = frozen.of(value)
        self.size += TEXT_CHARS - frozen.chars
        return found

    @property
    def trace_id(self) -> str:
        """Its trace in lower-case hex, empty when nothing is recorded."""
        found = self.span.get_span_context()
        return f"{found.trace_id:032x}" if found.is_valid else ""

    @property
    def span_id(self) -> str:
        """Its id in lower-case hex, empty when nothing is recorded."""
        found = self.span.get_span_context()
        return f"{found.span_id:016x}" if found.is_valid else ""


class _Off(Recording):
    """What stands for a span when the tracer is off."""

    __slots__ = ()

    def __init__(self) -> None:
        self.span = INVALID_SPAN
        self.context = Context()
        self.wanted = []

    def set(self, **attributes: AttributeValue | None) -> None: ...
    def set_input(self, value: Any) -> None: ...
    def set_output(self, value: Any) -> None: ...
    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...
    def fail(self, exception: BaseException) -> None: ...
    def end(self) -> None: ...


OFF = _Off()


def start(core: Core, name: str, attributes: Mapping[str, AttributeValue], context: Context | None = None) -> Recording:
    """Starts a span as a child of a context, of the current one when none is given."""
    outer = get_current() if context is None else context
    scope = scope_for(core, outer)
    activation = scope.activation
    if activation is not None and not activation.entered:
        activation.entered = True
        attributes = _as_entry(attributes)
    span = core.otel.start_span(name, outer, attributes=attributes)
    recording = Recording(core, span, scope, in_scope(scope, set_span_in_context(span, outer)))
    if span.is_recording():
        setattr(span, _RECORDING, recording)
    return recording


def _as_entry(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The span by which an activation begins is the agent's, unless its author called it something else."""
    told = {**attributes, "vedette.agent_entry": True}
    if told.get("vedette.span_kind") == "span":
        told |= {"vedette.span_kind": "agent", "gen_ai.operation.name": "invoke_agent"}
    return told


_RECORDING = "_vedette_recording"


def recording_of(span: Span) -> Recording | None:
    """Returns the recording that an open span of ours belongs to."""
    return getattr(span, _RECORDING, None)


def llm_span(client_tracer: Tracer | None, name: str, attributes: Mapping[str, AttributeValue]) -> Recording:
    """Starts the span of a call of a model as a child of the current span, without becoming the current one.

    It goes to the given tracer, else to the one whose span is current, else to the first that was made.
    """
    core = _core_of(client_tracer)
    if core is None or not core.on:
        return OFF
    try:
        return start(core, name, attributes)
    except Exception as error:
        core.trouble("a span could not be started", error)
        return OFF


def is_on(tracer: Tracer | None) -> bool:
    """Returns whether a span that starts now would be recorded; costs less than a microsecond."""
    core = _core_of(tracer)
    return core is not None and core.on


def text(value: Any, chars: int = TEXT_CHARS) -> str:
    """Returns any value as bounded text: a text as it is, anything else as JSON. Runs no code of the value's and never raises."""
    return dump(Frozen(chars).of(value))


def _core_of(tracer: Tracer | None) -> Core | None:
    if tracer is not None:
        return tracer.core
    scope = scope_of()
    return current() if scope is None else scope.core
