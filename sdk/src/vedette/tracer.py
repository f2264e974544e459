"""The tracer: what an agent's author uses to have an agent watched."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from opentelemetry.context import attach, detach
from opentelemetry.trace import get_current_span

from vedette import agents, observe, wrap
from vedette.build import build, leave
from vedette.calls import watched
from vedette.core import guarded
from vedette.current import Current
from vedette.evaluate import TraceScorerConfig, put_example
from vedette.recording import OFF, AttributeValue, Recording, recording_of, start
from vedette.switches import read

if TYPE_CHECKING:
    from vedette.data import Example
    from vedette.evaluate import ScorerLike

__all__ = ["TraceScorerConfig", "Tracer", "wrap"]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C")

OBSERVED = "__vedette_observed__"
EXIT_S = 5.0


class Tracer(Current):
    """Reports to one project. Several live side by side; a span goes to the one that started it.

    Nothing of it raises into the program or makes it wait. Without an address (constructor, `VEDETTE_API_URL` and `VEDETTE_API_KEY`,
    or the other families of variables) it says so once and does nothing.

    Args:
        project_name: the project, made by its first span; else `VEDETTE_PROJECT`, else `default`.
        api_key: a key that may report; with `api_url` or `VEDETTE_API_URL`.
        api_url: the one URL of the server, such as `http://127.0.0.1:4318`.
        environment: such as `production`; else `VEDETTE_ENVIRONMENT`.
        enable_monitoring: False records nothing; the environment's switches can only turn off.
        enable_evaluation: False records spans alone.
        resource_attributes: further attributes of OpenTelemetry's resource.
        redact: is given every text before it leaves, in a thread of ours, and returns what may leave.
        carry_into_threads: False leaves `threading.Thread` and `ThreadPoolExecutor` as they are: what they run starts traces of its own.
        exit_timeout_s: seconds that the program's end waits for what is still to be sent.

    """

    def __init__(
        self,
        *,
        project_name: str | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        environment: str | None = None,
        enable_monitoring: bool = True,
        enable_evaluation: bool = True,
        resource_attributes: Mapping[str, Any] | None = None,
        redact: Callable[[str], str] | None = None,
        carry_into_threads: bool = True,
        exit_timeout_s: float = EXIT_S,
    ) -> None:
        named = environment or os.environ.get("VEDETTE_ENVIRONMENT", "")
        self.project_name = project_name or os.environ.get("VEDETTE_PROJECT") or "default"
        self.core = build(
            *(self.project_name, api_url, api_key, named, resource_attributes or {}, redact),
            carries_into_threads=carry_into_threads,
        )
        self.core.wants_spans, self.core.wants_scores = enable_monitoring, enable_evaluation
        self._exit_s = exit_timeout_s
        self._enabled = (enable_monitoring, enable_evaluation)
        read(self.core)
        atexit.register(self._at_exit)

    # What is watched

    @overload
    def observe(self, function: F, /) -> F: ...
    @overload
    def observe(
        self,
        /,
        *,
        span_type: str = ...,
        span_name: str | None = ...,
        attributes: Mapping[str, AttributeValue] | None = ...,
        scorer_config: TraceScorerConfig | None = ...,
        record_input: bool = ...,
        record_output: bool = ...,
    ) -> Callable[[F], F]: ...
    def observe(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        span_type: str = "span",
        span_name: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        scorer_config: TraceScorerConfig | None = None,
        record_input: bool = True,
        record_output: bool = True,
    ) -> Any:
        """Records each call of a function as a span, with its arguments and its result.

        `span_type` is llm, tool, agent, retriever, chain or function; `span_name` stands for the function's qualified name.
        """

        def decorate(plain: F) -> F:
            name = span_name or _qualified(plain)
            told = {**(attributes or {}), **_kind(span_type, name)}
            begin = observe.Observe(
                self.core, name, told, observe.parameters_of(_inner(plain)), record_input, record_output, scorer_config
            )
            return _marked(watched(plain, self.core, begin))

        return decorate if function is None else decorate(function)

    @overload
    def agent(self, function: F, /) -> F: ...
    @overload
    def agent(
        self,
        /,
        *,
        identifier: str | None = ...,
        track_state: bool = ...,
        track_attributes: Sequence[str] | None = ...,
        field_mappings: Mapping[str, str] | None = ...,
        name: str | None = ...,
        version: str | None = ...,
    ) -> Callable[[F], F]: ...
    def agent(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        identifier: str | None = None,
        track_state: bool = False,
        track_attributes: Sequence[str] | None = None,
        field_mappings: Mapping[str, str] | None = None,
        name: str | None = None,
        version: str | None = None,
    ) -> Any:
        """Marks the entry point of an agent: everything below it is this agent's doing, until another agent takes over.

        The agent is named after the class of the method's object. `identifier` is the attribute that names the object itself;
        `track_state` keeps the object's attributes (or those in `track_attributes`, shown as `field_mappings` says) before and after.
        """

        def decorate(plain: F) -> F:
            inner = _inner(plain)
            seen = plain if getattr(inner, OBSERVED, False) else self.observe(span_type="agent")(plain)
            tracked = tuple(track_attributes or ()) if track_state or track_attributes else None
            begin = agents.Agent(
                core=self.core,
                name=name or "",
                function_name=getattr(inner, "__name__", type(inner).__name__),
                is_method=bool(observe.parameters_of(inner).skipped),
                version=version or "",
                identifier=identifier or "",
                tracked=tracked,
                shown_as=field_mappings,
            )
            return _marked(watched(seen, self.core, begin))

        return decorate if function is None else decorate(function)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        span_type: str = "span",
        attributes: Mapping[str, AttributeValue] | None = None,
        input: Any = None,  # noqa: A002 - as the attribute is called
    ) -> Iterator[Recording]:
        """Records what runs inside `with` as a span; `set_input` and `set_output` of what it gives fill it."""
        recording = self._started(name, {**(attributes or {}), **_kind(span_type, name)})
        if recording is OFF:
            yield recording
            return
        if input is not None:
            recording.set_input(input)
        token = attach(recording.context)
        try:
            yield recording
        except BaseException as error:
            recording.fail(error)
            raise
        finally:
            detach(token)
            recording.end()

    def wrap(self, client: C) -> C:
        """Returns a provider's client whose calls of models are recorded by this tracer."""
        return wrap(client, self)

    def _started(self, name: str, attributes: Mapping[str, AttributeValue]) -> Recording:
        if not self.core.on:
            return OFF
        try:
            return start(self.core, name, attributes)
        except Exception as error:
            self.core.trouble("a span could not be started", error)
            return OFF

    # What is judged

    def async_evaluate(
        self,
        scorer: ScorerLike | Sequence[ScorerLike],
        example: Example | Mapping[str, Any],
        *,
        sampling_rate: float = 1.0,
        model: str | None = None,
    ) -> str:
        """Asks for an example to be judged by scorers of the server, which samples it, and returns its id at once.

        Inside a span the verdict belongs to that span's trace. Returns an empty text when nothing was asked for.
        """
        if not self.core.judging:
            return ""
        try:
            return put_example(self.core, scorer, example, sampling_rate, model)
        except Exception as error:
            self.core.trouble("an example could not be handed over", error)
            return ""

    @guarded
    def async_trace_evaluate(self, scorer: ScorerLike, *, sampling_rate: float = 1.0, model: str | None = None) -> None:
        """Asks for the current span, one of ours, to be judged by its input and output when it has ended."""
        recording = recording_of(get_current_span())
        if self.core.judging and recording is not None:
            recording.wanted.append(TraceScorerConfig(scorer, model, sampling_rate))

    # Its life

    def enable(self) -> None:
        """Turns it on at once, as far as its constructor and the environment allow."""
        self.core.wants_spans, self.core.wants_scores = self._enabled
        read(self.core)

    def disable(self) -> None:
        """Turns it off at once: nothing is recorded until `enable`."""
        self.core.wants_spans = False
        read(self.core)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends what waits, and returns whether all of it has been settled in time."""
        sender = self.core.sender
        return sender is None or sender.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: int = 5_000) -> bool:
        """Sends what waits, each batch tried once, and stops for good."""
        atexit.unregister(self._at_exit)
        return leave(self.core, timeout_millis / 1000)

    def _at_exit(self) -> None:
        leave(self.core, self._exit_s)


def _kind(span_type: str, name: str) -> dict[str, AttributeValue]:
    told: dict[str, AttributeValue] = {"vedette.span_kind": span_type}
    if span_type == "tool":
        told |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    if span_type == "agent":
        told["gen_ai.operation.name"] = "invoke_agent"
    return told


def _inner(function: Any) -> Callable[..., Any]:
    """The function inside a staticmethod or a classmethod."""
    return function.__func__ if isinstance(function, (staticmethod, classmethod)) else function


def _qualified(function: Any) -> str:
    inner = _inner(function)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__)).rpartition("<locals>.")[2]


def _marked(function: F) -> F:
    setattr(_inner(function), OBSERVED, True)
    return function
