"""What a span has from its ancestors, as far as they are known: whether it can be told yet. Pure."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from schemas.documents.scorer import CONTEXT
from schemas.otlp.context import inherit
from schemas.score import Score
from schemas.span import Span, SpanContext

S = TypeVar("S", Span, Score)

NOBODY = SpanContext(span_id="")


def settled(span_id: str, known: Mapping[str, SpanContext], lacks: Collection[str]) -> tuple[SpanContext, bool]:
    """Returns a span with what its nearest ancestors supply, and whether more of them could not change the fields that it lacks.

    That is so when all of these were found, or when every ancestor up to the root is known.
    """
    path: list[SpanContext] = []
    seen: set[str] = set()
    up = known.get(span_id)
    while up is not None and up.span_id not in seen:
        path.append(up)
        seen.add(up.span_id)
        up = known.get(up.parent_span_id)
    if not path:
        return NOBODY, False
    found, above = inherit(path)[0], path[-1].parent_span_id
    return found, not above or above in seen or all(getattr(found, name) for name in lacks)


def enriched(observed: S, context: SpanContext) -> S:
    """Returns a span or score with what it lacks taken from its span's context."""
    missing = {name: value for name in CONTEXT if (value := getattr(context, name)) and not getattr(observed, name)}
    return type(observed).trusted({**observed.__dict__, **missing}) if missing else observed
