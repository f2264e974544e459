"""Raw spans of any dialect to spans in our own words: one walk over the attributes, then a few rules that no table can say."""

from typing import Any, NamedTuple

import orjson

from schemas.otlp.cost import PRICED, SENT, cost
from schemas.otlp.cut import TEXT_LIMIT, cut_text
from schemas.otlp.dialects.gen_ai import CREATE_AGENT
from schemas.otlp.evaluations import PENDING, without_credentials
from schemas.otlp.guard import NAME_LIMIT, NAMES, masked, safe, shortened
from schemas.otlp.mask import mask, suspicious
from schemas.otlp.messages import gathered, prefix_of
from schemas.otlp.once import COUNTED
from schemas.otlp.raw import Attributes, RawSpan, Value, parent_of, text_of
from schemas.otlp.tables import TABLES, Plan, Tables
from schemas.otlp.walk import AFTER_THE_SPANS_OWN, NOWHERE, Best, plan_of, walk, walk_by, walk_events
from schemas.span import Span, SpanKind, Status

_STATUS: tuple[Status, ...] = ("unset", "ok", "error")

_DEFAULTS: dict[str, Any] = {
    name: info.get_default(call_default_factory=True)
    for name, info in Span.model_fields.items()
    if not info.is_required()
}

_TAKEN = frozenset(
    {
        *NAMES,
        "agent_entry",
        "tags",
        "revision",
    }
)
"""The fields that take what was found as it is."""

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
)
"""So do these in spans that are calls to models."""


class Resource(NamedTuple):
    """A resource in our own words."""

    attrs: dict[str, str]
    service: str
    environment: str


NO_RESOURCE = Resource({}, "", "")


def resource(attributes: Attributes, tables: Tables = TABLES, limit: int = TEXT_LIMIT) -> Resource:
    """Returns a resource's attributes as masked and cut texts, with the service and environment it names."""
    best: Best = {}
    attrs = walk(attributes, best, tables)
    if suspicious("\n".join(attrs.values())):
        attrs = masked(attrs)
    attrs = shortened(attrs, limit, limit, [])
    return Resource(attrs, _name(best, "service"), _name(best, "environment"))


def canonical(
    raw: RawSpan, within: Resource = NO_RESOURCE, index: int = 0, tables: Tables = TABLES, limit: int = TEXT_LIMIT
) -> Span:
    """Returns a span in our own words: secrets masked, and no text longer than `limit` bytes.

    `index` is the place of its resource in the chunk. Context is only what the span and its resource say themselves.
    """
    best: Best = {}
    plan = plan_of(raw.attributes, tables)
    attrs = walk_by(plan, raw.attributes, best)
    if PENDING in attrs:
        attrs[PENDING] = without_credentials(attrs[PENDING])
    events = walk_events(raw.events, best, tables) if raw.events else []
    values: dict[str, Any] = {
        **_DEFAULTS,
        "span_id": raw.span_id,
        "parent_span_id": raw.parent_span_id,
        "name": raw.name,
        "start_time": raw.start_ns // 1000,
        "duration_us": max(0, raw.end_ns - raw.start_ns) // 1000,
        "resource": index,
        "dialect": _dialect(raw.scope, plan, tables),
        "service": within.service,
        "environment": within.environment,
        "attrs": attrs,
    }
    _tell_kind(values, raw.scope, best, tables)
    if values["kind"] in COUNTED:
        _tell_usage(values, best)
        _tell_cost(values)
    _tell_status(values, raw, best, tables)
    _tell_updates(values, raw, best)
    values["input"] = _text(best, "input", "input_messages", values["kind"], attrs)
    values["output"] = _text(best, "output", "output_messages", values["kind"], attrs)
    if events:
        values["events"] = orjson.dumps(events).decode()
    return Span.trusted(safe(values, limit, plan.chars, plan.longest))


def _text(best: Best, field: str, messages: str, kind: SpanKind, attrs: dict[str, str]) -> str | None:
    """The text leaves the attributes: nothing is kept twice."""
    found = best.get(field)
    if messages in best:
        rank, _, attribute = best[messages]
        if found is None or (kind == "llm" and rank < found[0]):
            return gathered(attrs, prefix_of(attribute))
    if found is None:
        return None
    rank, text, attribute = found
    if rank < AFTER_THE_SPANS_OWN:
        attrs.pop(attribute, None)
    return str(text)


def _name(best: Best, field: str) -> str:
    found = best.get(field)
    return "" if found is None else cut_text(mask(found[1]), NAME_LIMIT)[0]


_NO_SCOPE = (NOWHERE, "")


def _dialect(scope: str, plan: Plan, tables: Tables) -> str:
    """The first dialect whose scope or marker is there."""
    by_scope, name = tables.scopes.get(scope, _NO_SCOPE)
    return plan.dialect if plan.place < by_scope else name


def _tell_kind(values: dict[str, Any], scope: str, best: Best, tables: Tables) -> None:
    for field, found in best.items():
        if field in _TAKEN:
            values[field] = found[1]
    if not values["model"] and "request_model" in best:
        values["model"] = best["request_model"][1]
    if "kind" not in best:
        return
    kind = values["kind"] = best["kind"][1]
    named = "agent" if kind == "agent" else "tool_name"
    if kind in ("agent", "tool") and not values[named]:
        if "entity" in best:
            values[named] = best["entity"][1]
        elif values["dialect"] in tables.named_by_span and scope not in tables.unnamed_scopes:
            values[named] = values["name"]
    if kind == "agent" and "agent_entry" not in best:
        values["agent_entry"] = values["agent"] != "" and values["operation"] != CREATE_AGENT


def _tell_usage(values: dict[str, Any], best: Best) -> None:
    """Told of calls to models only: what an agent or a chain says repeats what its calls say, and stays in the attributes."""
    for field in _USAGE:
        if field in best:
            values[field] = best[field][1]
    if values["input_tokens"] is None and "uncached_input_tokens" in best:
        cached, written = values["cached_input_tokens"] or 0, values["cache_write_input_tokens"] or 0
        values["input_tokens"] = best["uncached_input_tokens"][1] + cached + written
    if values["output_tokens"] is None and "visible_output_tokens" in best:
        values["output_tokens"] = best["visible_output_tokens"][1] + (values["reasoning_output_tokens"] or 0)
    _tell_whole(values)


def _tell_whole(values: dict[str, Any]) -> None:
    """A part that is more than the whole was left out of it, whatever the dialect's description says."""
    cached = (values["cached_input_tokens"] or 0) + (values["cache_write_input_tokens"] or 0)
    if values["input_tokens"] is not None and cached > values["input_tokens"]:
        values["input_tokens"] += cached
    reasoning = values["reasoning_output_tokens"] or 0
    if values["output_tokens"] is not None and reasoning > values["output_tokens"]:
        values["output_tokens"] += reasoning


def _tell_cost(values: dict[str, Any]) -> None:
    if values["cost_usd"] is not None:
        values["cost_source"] = SENT
    elif values["input_tokens"] is not None or values["output_tokens"] is not None:
        values["cost_usd"] = cost(
            values["provider"],
            values["model"],
            values["start_time"],
            values["input_tokens"] or 0,
            values["output_tokens"] or 0,
            values["cached_input_tokens"] or 0,
            values["cache_write_input_tokens"] or 0,
            values["reasoning_output_tokens"] or 0,
        )
        values["cost_source"] = "" if values["cost_usd"] is None else PRICED


def _tell_status(values: dict[str, Any], raw: RawSpan, best: Best, tables: Tables) -> None:
    exception = _exception(raw) if raw.events else None
    status = raw.status if raw.status in (1, 2) else 0
    if status == 0 and ("error_type" in best or (exception and values["dialect"] in tables.exception_is_error)):
        status = 2
    values["status"] = _STATUS[status]
    message = raw.status_message
    if status == 2 and not message:
        told = exception or {}
        message = best["error_message"][1] if "error_message" in best else ""
        message = message or text_of(told.get("exception.message") or told.get("exception.type"))
        message = message or (best["error_type"][1] if "error_type" in best else "")
    values["status_message"] = message


def _exception(raw: RawSpan) -> dict[str, Value] | None:
    return next((dict(event.attributes) for event in raw.events if event.name == "exception"), None)


def _tell_updates(values: dict[str, Any], raw: RawSpan, best: Best) -> None:
    """A span that is sent again and again is partial until it has an end."""
    if "pending_parent" in best:
        values["partial"] = True
        values["span_id"] = raw.parent_span_id or raw.span_id
        values["parent_span_id"] = parent_of(best["pending_parent"][1])
    elif "revision" in best:
        values["partial"] = raw.end_ns <= raw.start_ns
