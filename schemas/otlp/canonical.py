"""Raw spans of any dialect to spans in our own words: one walk over the attributes, then a few rules that no table can say."""

from typing import Any, NamedTuple

import orjson

from schemas.otlp.cut import TEXT_LIMIT, cut_text
from schemas.otlp.guard import NAME_LIMIT, NAMES, masked, safe, shortened
from schemas.otlp.mask import mask, suspicious
from schemas.otlp.raw import Attributes, RawSpan, parent_of, text_of
from schemas.otlp.tables import TABLES, Tables
from schemas.otlp.walk import AFTER_THE_SPANS_OWN, Best, walk, walk_events
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
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "cache_write_input_tokens",
        "reasoning_output_tokens",
        "cost_usd",
        "tags",
        "revision",
    }
)
"""The fields that take what was found as it is."""


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
    attrs = walk(raw.attributes, best, tables)
    events = walk_events(raw.events, best, tables) if raw.events else []
    values: dict[str, Any] = _DEFAULTS.copy()
    values["span_id"] = raw.span_id
    values["parent_span_id"] = raw.parent_span_id
    values["name"] = raw.name
    values["start_time"] = raw.start_ns // 1000
    values["duration_us"] = max(0, raw.end_ns - raw.start_ns) // 1000
    values["resource"] = index
    values["dialect"] = _dialect(raw.scope, attrs, tables)
    values["service"] = within.service
    values["environment"] = within.environment
    for field, found in best.items():
        if field in _TAKEN:
            values[field] = found[1]
    _tell_kind(values, best, tables)
    _tell_usage(values, best)
    _tell_status(values, raw, best, tables)
    _tell_updates(values, raw, best)
    values["input"] = _text(best, "input", attrs)
    values["output"] = _text(best, "output", attrs)
    values["attrs"] = attrs
    values["events"] = orjson.dumps(events).decode() if events else ""
    return Span.trusted(safe(values, limit))


def _text(best: Best, field: str, attrs: dict[str, str]) -> str | None:
    """The text leaves the attributes: nothing is kept twice."""
    found = best.get(field)
    if found is None:
        return None
    rank, text, attribute = found
    if rank < AFTER_THE_SPANS_OWN:
        attrs.pop(attribute, None)
    return str(text)


def _name(best: Best, field: str) -> str:
    found = best.get(field)
    return "" if found is None else cut_text(mask(found[1]), NAME_LIMIT)[0]


_NO_SCOPE = (1_000_000, "")


def _dialect(scope: str, attrs: dict[str, str], tables: Tables) -> str:
    """The first dialect whose scope or marker is there."""
    by_scope, name = tables.scopes.get(scope, _NO_SCOPE)
    for marker, place, dialect in tables.markers:
        if place >= by_scope:
            break
        if marker in attrs:
            return dialect
    return name


def _tell_kind(values: dict[str, Any], best: Best, tables: Tables) -> None:
    found = best.get("kind")
    kind: SpanKind = "other" if found is None else found[1]
    values["kind"] = kind
    if kind in ("agent", "tool") and values["dialect"] in tables.named_by_span:
        named = "agent" if kind == "agent" else "tool_name"
        values[named] = values[named] or values["name"]
    if kind == "agent" and "agent_entry" not in best:
        values["agent_entry"] = values["agent"] != ""


def _tell_usage(values: dict[str, Any], best: Best) -> None:
    if not values["model"] and "request_model" in best:
        values["model"] = best["request_model"][1]
    if values["input_tokens"] is None and "uncached_input_tokens" in best:
        cached, written = values["cached_input_tokens"] or 0, values["cache_write_input_tokens"] or 0
        values["input_tokens"] = best["uncached_input_tokens"][1] + cached + written


def _tell_status(values: dict[str, Any], raw: RawSpan, best: Best, tables: Tables) -> None:
    exception = next((dict(e.attributes) for e in raw.events if e.name == "exception"), None)
    status = raw.status if raw.status in (1, 2) else 0
    if status == 0 and ("error_type" in best or (exception and values["dialect"] in tables.exception_is_error)):
        status = 2
    values["status"] = _STATUS[status]
    message = raw.status_message
    if status == 2 and not message:
        told = exception or {}
        message = text_of(told.get("exception.message") or told.get("exception.type"))
        message = message or (best["error_type"][1] if "error_type" in best else "")
    values["status_message"] = message


def _tell_updates(values: dict[str, Any], raw: RawSpan, best: Best) -> None:
    """A span that is sent again and again is partial until it has an end."""
    if "pending_parent" in best:
        values["partial"] = True
        values["span_id"] = raw.parent_span_id or raw.span_id
        values["parent_span_id"] = parent_of(best["pending_parent"][1])
    elif "revision" in best:
        values["partial"] = raw.end_ns <= raw.start_ns
