"""What a span inherits: instrumentations name the agent, the session and the customer on the parent only."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from schemas.span import Span, SpanContext

S = TypeVar("S", Span, SpanContext)

INHERITED = ("session_id", "customer_id", "environment")
"""fields that the nearest ancestor supplies, each by itself"""

AGENT = ("agent", "agent_instance", "agent_id", "agent_version")
"""fields that belong together: they are inherited only inside the same activation of an agent"""

ALL = INHERITED + AGENT

_OF_CONTEXT = tuple(SpanContext.model_fields)


def context_of(span: Span) -> SpanContext:
    """Returns what a span's descendants may have from it."""
    values = span.__dict__
    return SpanContext.trusted({name: values[name] for name in _OF_CONTEXT})


def inherit(spans: Sequence[S]) -> list[S]:
    """Returns the spans of one trace with what they lack taken from their nearest ancestor that has it.

    A span that names another agent than its parent's, or another activation, takes none of the agent's fields. Missing
    parents and cycles end the search. The order stays; the time is linear in the number of spans.
    """
    by_id = {span.span_id: span for span in spans}
    settled: dict[str, S] = {}
    for span in spans:
        if span.span_id not in settled:
            for one in reversed(_unsettled(span, by_id, settled)):
                settled[one.span_id] = _from_parent(one, settled.get(one.parent_span_id))
    return [settled[span.span_id] for span in spans]


def _unsettled(span: S, by_id: Mapping[str, S], settled: Mapping[str, S]) -> list[S]:
    """The span and its ancestors, up to the first that is settled."""
    path = [span]
    parent = span.parent_span_id
    if parent not in by_id or parent in settled:
        return path
    seen = {span.span_id}
    while (
        (up := by_id.get(path[-1].parent_span_id)) is not None and up.span_id not in settled and up.span_id not in seen
    ):
        path.append(up)
        seen.add(up.span_id)
    return path


def _from_parent(span: S, parent: S | None) -> S:
    if parent is None:
        return span
    own, theirs = span.__dict__, parent.__dict__
    fields = ALL if same_activation(span, parent) else INHERITED
    missing: dict[str, Any] = {field: theirs[field] for field in fields if theirs[field] and not own[field]}
    return type(span).trusted({**own, **missing}) if missing else span


def same_activation(span: S, parent: S) -> bool:
    """Returns whether a span belongs to the activation of an agent that its parent belongs to, as far as both say."""
    if span.agent and span.agent != parent.agent:
        return False
    return not span.agent_id or not parent.agent_id or span.agent_id == parent.agent_id
