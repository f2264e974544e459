"""The one walk over a span's attributes and events: the dearest step of all, so every attribute costs one look-up."""

from typing import Any

from schemas.otlp.mask import MASK, secret_key
from schemas.otlp.raw import Attributes, RawEvent, Value, text_of
from schemas.otlp.tables import Tables

AFTER_THE_SPANS_OWN = 1_000_000
"""added to the rank of what an event says"""


Found = tuple[int, Any, str]
"""The rank of a source, the value it gives, and the attribute it is: a plain tuple, since ten are made for every span."""

Best = dict[str, Found]
"""The best source of each field so far."""


def walk(attributes: Attributes, best: Best, tables: Tables, later: int = 0) -> dict[str, str]:
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
            if held is not None and held[0] <= rank + later:
                continue
            taken = text if convert is None else convert(value)
            if taken is not None and taken != "":
                best[field] = (rank + later, taken, key)
    return attrs


def walk_events(events: list[RawEvent], best: Best, tables: Tables) -> list[dict[str, Any]]:
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
        best[field] = (AFTER_THE_SPANS_OWN, text_of(list(found)), "")
    return kept


def _take_content(attributes: dict[str, Value], best: Best, tables: Tables) -> None:
    told: Best = {}
    walk(list(attributes.items()), told, tables, later=AFTER_THE_SPANS_OWN)
    for field in ("input", "output"):
        if field in told and field not in best:
            best[field] = told[field]
            del attributes[told[field][2]]


def _known(attributes: Attributes) -> dict[str, Value]:
    return {key: value for key, value in attributes if not key.startswith("gen_ai.")}


def _without_secrets(attributes: dict[str, Value]) -> dict[str, Value]:
    return {key: MASK if secret_key(key) else value for key, value in attributes.items()}
