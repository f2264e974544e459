"""What asks for a verdict: an example with the names of its scorers. The stream samples it, the caller never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current
from opentelemetry.trace import get_current_span

from vedette.core import Core, tell
from vedette.freeze import NOTHING, TEXT_CHARS, Frozen
from vedette.ids import uuid7
from vedette.outbox import ExampleItem
from vedette.redact import MASK, is_secret
from vedette.scope import Scope, name_text, scope_of

if TYPE_CHECKING:
    from vedette.data import Example
    from vedette.recording import Recording
    from vedette.scorers.example_scorer import ExampleScorer

    ScorerLike = str | ExampleScorer | type[ExampleScorer]

EXAMPLE_CHARS = 1024 * 1024
"""of all fields of one example"""

ITEM_BYTES = 512


@dataclass(frozen=True)
class TraceScorerConfig:
    """A scorer for the spans of a function: `observe(scorer_config=TraceScorerConfig("Answers the question"))`.

    `run_condition` is called with the function's arguments and tells whether this call is judged.
    """

    scorer: ScorerLike
    model: str | None = None
    sampling_rate: float = 1.0
    run_condition: Callable[..., bool] | None = None


def put_example(
    core: Core,
    scorers: ScorerLike | Sequence[ScorerLike],
    example: Example | Mapping[str, Any],
    sampling_rate: float,
    model: str | None,
    origin: str = "online",
) -> str:
    """Hands an example over and returns its id, empty when it is not sent."""
    if not _is_rate(sampling_rate):
        return ""
    fields, own_id = _fields(example)
    context = get_current()
    scope, span = scope_of(context), get_current_span(context).get_span_context()
    body = _body(core, scope, scorers, sampling_rate, model)
    body["id"] = own_id or uuid7()
    body["origin"] = origin
    if span.is_valid:
        body["trace_id"], body["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
    body["fields"], left = _frozen(fields)
    _put(core, body, EXAMPLE_CHARS - left)
    return str(body["id"])


def put_wanted(core: Core, recording: Recording, scope: Scope) -> None:
    """Hands over what an ended span is to be judged by: its input and output become an example."""
    for config in recording.wanted:
        body = _body(core, scope, config.scorer, config.sampling_rate, config.model)
        shown = (("input", recording.given), ("output", recording.returned))
        body["fields"] = {name: value for name, value in shown if value is not NOTHING}
        body["id"] = uuid7()
        body["trace_id"], body["span_id"] = recording.trace_id, recording.span_id
        _put(core, body, recording.size)


def scorer_ref(scorer: ScorerLike, model: str | None) -> str | dict[str, Any]:
    """Returns a scorer as the server takes it: its name, with settings only when its user gave some."""
    if isinstance(scorer, str):
        return {"scorer": scorer, "model": model} if model else scorer
    instance = scorer() if isinstance(scorer, type) else scorer
    settings: dict[str, Any] = {}
    if "threshold" in instance.model_fields_set or instance.strict_mode:
        settings["threshold"] = 1.0 if instance.strict_mode else instance.threshold
    if model or instance.model:
        settings["model"] = model or instance.model
    return {"scorer": instance.name, **settings} if settings else instance.name


def _body(
    core: Core, scope: Scope | None, scorers: ScorerLike | Sequence[ScorerLike], sampling_rate: float, model: str | None
) -> dict[str, Any]:
    many = scorers if isinstance(scorers, (list, tuple)) else (scorers,)
    body: dict[str, Any] = {"scorers": [scorer_ref(one, model) for one in many], "sampling_rate": sampling_rate}
    told = scope.attributes if scope is not None else core.attributes
    for name in ("session_id", "customer_id", "agent", "environment"):
        value = told.get(f"vedette.{name}")
        if value:
            body[name] = value
    return body


def _fields(example: Example | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What is judged, and the id of the record; pydantic is not imported for somebody who sends mappings."""
    if isinstance(example, Mapping):
        return example, ""
    return example.get_fields(), name_text(example.example_id)


def frozen_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of an example in JSON's types, bounded, with what names a secret masked."""
    return _frozen(fields)[0]


def _frozen(fields: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    left, frozen = EXAMPLE_CHARS, {}
    for name, value in fields.items():
        budget = Frozen(min(TEXT_CHARS, left))
        frozen[name] = MASK if is_secret(name) else budget.of(value)
        left -= min(TEXT_CHARS, left) - budget.chars
    return frozen, left


def _put(core: Core, body: dict[str, Any], size: int) -> None:
    if core.outbox is not None:
        core.outbox.put(ExampleItem(body, ITEM_BYTES + size))


def _is_rate(rate: float) -> bool:
    if isinstance(rate, (int, float)) and 0 <= rate <= 1:
        return True
    tell("sampling_rate=%s is not between 0 and 1; the example is not sent", rate)
    return False
