"""No token is counted twice: of several spans that report one call to a model only one keeps its usage.

Spans of agents, chains and tools never have usage (`canonical` sees to that); here are the calls that were reported twice. Only
what came in one export can be told: of two reports in two exports both count.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from schemas.span import Span

COUNTED = frozenset({"llm", "retriever"})
"""kinds of spans that are calls to a model; embeddings and rerankers are retrievers"""

UNCOUNTED: Mapping[str, Any] = {
    "input_tokens": None,
    "output_tokens": None,
    "cached_input_tokens": None,
    "cache_write_input_tokens": None,
    "reasoning_output_tokens": None,
    "cost_usd": None,
    "cost_source": "",
}

_RESPONSE_ID = "gen_ai.response.id"


def once(spans: Sequence[Span], clients: Collection[str] = ()) -> Sequence[Span]:
    """Returns the spans of one trace, without usage where it repeats another's. The order stays.

    A span repeats another if both are of one kind and

    * it was made by a provider's own client (`clients` are the ids of such spans) while an instrumentation reports the call: with
      the same response id, or around it, with the same model and input tokens. Where the two differ, the
      instrumentation's span, which has the content, takes what the client counted: the provider's numbers;
    * it is told with the same response id by an earlier one that is no ancestor of it;
    * it is an ancestor, with no agent or tool in between: the innermost report is the nearest to the wire.
    """
    counted = [span for span in spans if span.input_tokens is not None or span.output_tokens is not None]
    if len(counted) < 2:
        return spans
    told = list(_by_clients(counted, clients)) if clients else []
    repeated = {client.span_id for _, client in told}
    left = [span for span in counted if span.span_id not in repeated]
    repeated.update(_around(left, {span.span_id: span for span in spans}))
    repeated.update(_same_response(span for span in left if span.span_id not in repeated))
    if not repeated:
        return spans
    usage = {other.span_id: _usage(client) for other, client in told if _knows_better(client, other)}
    usage |= {span_id: dict(UNCOUNTED) for span_id in repeated}
    return [Span.trusted({**s.__dict__, **usage[s.span_id]}) if s.span_id in usage else s for s in spans]


def _usage(span: Span) -> dict[str, Any]:
    return {field: getattr(span, field) for field in UNCOUNTED}


def _knows_better(client: Span, other: Span) -> bool:
    counted = (client.input_tokens, client.output_tokens)
    return None not in counted and counted != (other.input_tokens, other.output_tokens)


def _by_clients(counted: Sequence[Span], clients: Collection[str]) -> Iterator[tuple[Span, Span]]:
    """Pairs an instrumentation's span with the client's that it repeats."""
    others = [span for span in counted if span.span_id not in clients]
    for client in (span for span in counted if span.span_id in clients):
        teller = next((other for other in others if _is_told_by(client, other)), None)
        if teller is not None:
            yield teller, client


def _is_told_by(span: Span, other: Span) -> bool:
    if span.kind != other.kind:
        return False
    if _RESPONSE_ID in span.attrs and _RESPONSE_ID in other.attrs:
        return span.attrs[_RESPONSE_ID] == other.attrs[_RESPONSE_ID]
    return (
        span.parent_span_id in (other.span_id, other.parent_span_id)
        and (span.model, span.input_tokens) == (other.model, other.input_tokens)
        and other.start_time <= span.start_time
        and span.start_time + span.duration_us <= other.start_time + other.duration_us
    )


def _around(counted: Sequence[Span], by_id: Mapping[str, Span]) -> Iterator[str]:
    ids = {span.span_id for span in counted}
    for span in counted:
        seen = {span.span_id}
        up = by_id.get(span.parent_span_id)
        while up is not None and up.kind not in ("agent", "tool") and up.span_id not in seen:
            if up.kind == span.kind and up.span_id in ids and _tells_as_much(span, up):
                yield up.span_id
            seen.add(up.span_id)
            up = by_id.get(up.parent_span_id)


def _tells_as_much(span: Span, other: Span) -> bool:
    return other.input_tokens is None or span.input_tokens is not None


def _same_response(counted: Iterable[Span]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for span in counted:
        response = span.attrs.get(_RESPONSE_ID)
        if response and (span.kind, response) in seen:
            yield span.span_id
        elif response:
            seen.add((span.kind, response))
