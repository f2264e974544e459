"""Raw spans of any dialect to spans in our own words: one walk over the attributes, then a few rules that no table can say."""

from typing import Any, NamedTuple

import orjson

from schemas.otlp.cut import TEXT_LIMIT, cut_text
from schemas.otlp.mask import MASK, mask, secret_key, suspicious
from schemas.otlp.raw import Attributes, RawEvent, RawSpan, Value, parent_of
from schemas.otlp.tables import TABLES, Tables
from schemas.span import Span, SpanKind, Status

NAME_LIMIT = 512
"""bytes that a name, an id or an attribute's key may take"""

ATTRS_LIMIT = 4 * TEXT_LIMIT
"""bytes that all attributes of a span may take together; the ones after are left out"""

MAX_TAGS = 64

_AFTER_THE_SPANS_OWN = 1_000_000
"""added to the rank of what an event says"""

_STATUS: tuple[Status, ...] = ("unset", "ok", "error")

_DEFAULTS: dict[str, Any] = {
    name: info.get_default(call_default_factory=True)
    for name, info in Span.model_fields.items()
    if not info.is_required()
}

_NAMES = (
    "agent",
    "agent_instance",
    "agent_id",
    "parent_agent_id",
    "agent_version",
    "session_id",
    "customer_id",
    "environment",
    "service",
    "model",
    "provider",
    "operation",
    "tool_name",
)
_TAKEN = frozenset(
    {
        *_NAMES,
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


class Found(NamedTuple):
    """What a field takes, and from where."""

    rank: int
    value: Any
    attribute: str


Best = dict[str, Found]


class Resource(NamedTuple):
    """A resource in our own words."""

    attrs: dict[str, str]
    service: str
    environment: str


NO_RESOURCE = Resource({}, "", "")


def resource(attributes: Attributes, tables: Tables = TABLES, limit: int = TEXT_LIMIT) -> Resource:
    """Returns a resource's attributes as masked and cut texts, with the service and environment it names."""
    best: Best = {}
    attrs = _walk(attributes, best, tables)
    if suspicious("\n".join(attrs.values())):
        attrs = _masked(attrs)
    attrs = _shortened(attrs, limit, limit, [])
    return Resource(attrs, _name(best, "service"), _name(best, "environment"))


def canonical(
    raw: RawSpan, within: Resource = NO_RESOURCE, index: int = 0, tables: Tables = TABLES, limit: int = TEXT_LIMIT
) -> Span:
    """Returns a span in our own words: secrets masked, and no text longer than `limit` bytes.

    `index` is the place of its resource in the chunk. Context is only what the span and its resource say themselves.
    """
    best: Best = {}
    attrs = _walk(raw.attributes, best, tables)
    events = _walk_events(raw.events, best, tables) if raw.events else []
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
            values[field] = found.value
    _tell_kind(values, best, tables)
    _tell_usage(values, best)
    _tell_status(values, raw, best, tables)
    _tell_updates(values, raw, best)
    values["input"] = _text(best, "input", attrs)
    values["output"] = _text(best, "output", attrs)
    values["attrs"] = attrs
    values["events"] = orjson.dumps(events).decode() if events else ""
    return Span.trusted(_safe(values, limit))


def _walk(attributes: Attributes, best: Best, tables: Tables, later: int = 0) -> dict[str, str]:
    """Returns the attributes as texts; `best` learns of every source that is better than what it holds."""
    targets = tables.targets
    attrs: dict[str, str] = {}
    for key, value in attributes:
        text = value if type(value) is str else text_of(value)
        told = targets.get(key)
        if told is None:
            attrs[key] = MASK if secret_key(key) else text
            continue
        attrs[key] = text
        for field, rank, convert in told:
            held = best.get(field)
            if held is not None and held.rank <= rank + later:
                continue
            taken = text if convert is None else convert(value)
            if taken is not None and taken != "":
                best[field] = Found(rank + later, taken, key)
    return attrs


def text_of(value: Value) -> str:
    """Returns an attribute's value as text: JSON unless it is a text already, empty when there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _text(best: Best, field: str, attrs: dict[str, str]) -> str | None:
    """The text leaves the attributes: nothing is kept twice."""
    found = best.get(field)
    if found is None:
        return None
    if found.rank < _AFTER_THE_SPANS_OWN:
        attrs.pop(found.attribute, None)
    text: str = found.value
    return text


def _name(best: Best, field: str) -> str:
    found = best.get(field)
    return "" if found is None else cut_text(mask(found.value), NAME_LIMIT)[0]


def _walk_events(events: list[RawEvent], best: Best, tables: Tables) -> list[dict[str, Any]]:
    """Returns the events that are no input or output."""
    kept = []
    messages: dict[str, list[dict[str, Value]]] = {}
    for event in events:
        to = tables.message_events.get(event.name)
        if to is not None and to[0] not in best:
            messages.setdefault(to[0], []).append({"role": to[1], **_known(event.attributes)})
            continue
        attributes = dict(event.attributes)
        if event.name in tables.content_events:
            _take_content(attributes, best, tables)
        kept.append({"name": event.name, "time": event.time_ns // 1000, "attributes": _without_secrets(attributes)})
    for field, found in messages.items():
        best[field] = Found(_AFTER_THE_SPANS_OWN, text_of(found), "")  # type: ignore[arg-type]
    return kept


def _take_content(attributes: dict[str, Value], best: Best, tables: Tables) -> None:
    told: Best = {}
    _walk(list(attributes.items()), told, tables, later=_AFTER_THE_SPANS_OWN)
    for field, found in told.items():
        if field not in best:
            best[field] = found
            if field in ("input", "output"):
                del attributes[found.attribute]


def _known(attributes: Attributes) -> dict[str, Value]:
    return {key: value for key, value in attributes if not key.startswith("gen_ai.")}


def _without_secrets(attributes: dict[str, Value]) -> dict[str, Value]:
    return {key: MASK if secret_key(key) else value for key, value in attributes.items()}


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
    kind: SpanKind = "other" if found is None else found.value
    values["kind"] = kind
    if kind in ("agent", "tool") and values["dialect"] in tables.named_by_span:
        named = "agent" if kind == "agent" else "tool_name"
        values[named] = values[named] or values["name"]
    if kind == "agent" and "agent_entry" not in best:
        values["agent_entry"] = values["agent"] != ""


def _tell_usage(values: dict[str, Any], best: Best) -> None:
    if not values["model"] and "request_model" in best:
        values["model"] = best["request_model"].value
    if values["input_tokens"] is None and "uncached_input_tokens" in best:
        cached, written = values["cached_input_tokens"] or 0, values["cache_write_input_tokens"] or 0
        values["input_tokens"] = best["uncached_input_tokens"].value + cached + written


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
        message = message or (best["error_type"].value if "error_type" in best else "")
    values["status_message"] = message


def _tell_updates(values: dict[str, Any], raw: RawSpan, best: Best) -> None:
    """A span that is sent again and again is partial until it has an end."""
    if "pending_parent" in best:
        values["partial"] = True
        values["span_id"] = raw.parent_span_id or raw.span_id
        values["parent_span_id"] = parent_of(best["pending_parent"].value)
    elif "revision" in best:
        values["partial"] = raw.end_ns <= raw.start_ns


_TEXTS = ("name", "input", "output", "events", "status_message")


def _safe(values: dict[str, Any], limit: int) -> dict[str, Any]:
    """No secret is left, and no text is too long. Most spans need neither: one look at all their texts tells."""
    attrs = values["attrs"]
    texts = [*attrs, *attrs.values(), *(values[name] for name in _TEXTS if values[name])]
    if suspicious("\n".join(texts)):
        _mask_all(values)
    if max(map(len, texts), default=0) * 4 > NAME_LIMIT or len(texts) > MAX_TAGS:
        _shorten(values, limit)
    return values


def _mask_all(values: dict[str, Any]) -> None:
    for name in (*_NAMES, *_TEXTS):
        if values[name]:
            values[name] = mask(values[name])
    values["attrs"] = _masked(values["attrs"])
    values["tags"] = tuple(map(mask, values["tags"]))


def _masked(attrs: dict[str, str]) -> dict[str, str]:
    return {key: mask(text) for key, text in attrs.items()}


def _shorten(values: dict[str, Any], limit: int) -> None:
    cut: list[str] = []
    for name in ("name", *_NAMES):
        if len(values[name]) * 4 > NAME_LIMIT:
            values[name] = _cut(name, values[name], NAME_LIMIT, cut)
    for name in ("input", "output", "events", "status_message"):
        if values[name] and len(values[name]) * 4 > limit:
            values[name] = _cut(name, values[name], limit, cut)
    if values["tags"]:
        values["tags"] = tuple(cut_text(tag, NAME_LIMIT)[0] for tag in values["tags"][:MAX_TAGS])
    attrs = values["attrs"]
    if (sum(map(len, attrs.values())) + sum(map(len, attrs))) * 4 > limit:
        values["attrs"] = _shortened(attrs, limit, 4 * limit, cut)
    values["cut"] = tuple(cut)


def _cut(field: str, text: str, limit: int, cut: list[str]) -> str:
    shorter, was_cut = cut_text(text, limit)
    if was_cut:
        cut.append(field)
    return shorter


def _shortened(attrs: dict[str, str], limit: int, room: int, cut: list[str]) -> dict[str, str]:
    """Returns the attributes that fit in `room` bytes, each no longer than `limit`."""
    kept = {}
    for key, text in attrs.items():
        key = key if len(key) * 4 <= NAME_LIMIT else cut_text(key, NAME_LIMIT)[0]
        if len(text) * 4 > limit:
            text = _cut(f"attrs.{key}", text, limit, cut)
        room -= len(key) + len(text) if text.isascii() and key.isascii() else len((key + text).encode())
        if room < 0:
            cut.append("attrs")
            break
        kept[key] = text
    return kept
