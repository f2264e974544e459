"""The one walk over a span's attributes and events, by a plan that all spans with attributes of the same names share."""

from operator import itemgetter
from typing import Any

from schemas.otlp.mask import MASK, secret_key
from schemas.otlp.raw import Attributes, RawEvent, Value, text_of
from schemas.otlp.tables import Converter, Plan, Tables

AFTER_THE_SPANS_OWN = 1_000_000
"""added to the rank of what an event says"""


Found = tuple[int, Any, str]
"""The rank of a source, the value it gives, and the attribute it is: a plain tuple, since ten are made for every span."""

Best = dict[str, Found]
"""The best source of each field."""


NOWHERE = 1_000_000
"""The place of a dialect that no marker told."""


REMEMBERED, REMEMBERED_CHARS = 1024, 16 * 1024
"""How many plans are remembered, and how long their names may be together: at most 16 MB, whatever a client makes up."""


def plan_of(attributes: Attributes, tables: Tables) -> Plan:
    """Returns what these attributes may tell."""
    names = tuple([name for name, _ in attributes])
    plan = tables.plans.get(names)
    if plan is None:
        plan = _plan(names, tables)
        if plan.chars <= REMEMBERED_CHARS:
            if len(tables.plans) >= REMEMBERED:
                tables.plans.clear()
            tables.plans[names] = plan
    return plan


def _plan(names: tuple[str, ...], tables: Tables) -> Plan:
    sources: dict[str, list[tuple[str, int, Converter | None]]] = {}
    for name in dict.fromkeys(names):
        for field, rank, convert in tables.targets.get(name, ()):
            sources.setdefault(field, []).append((name, rank, convert))
    place, dialect = next(((at, named) for marker, at, named in tables.markers if marker in names), (NOWHERE, ""))
    return Plan(
        fields=tuple((field, tuple(sorted(found, key=itemgetter(1)))) for field, found in sources.items()),
        secret=tuple(name for name in names if name not in tables.targets and secret_key(name)),
        place=place,
        dialect=dialect,
        chars=sum(map(len, names)),
        longest=max(map(len, names), default=0),
    )


def walk(attributes: Attributes, best: Best, tables: Tables, later: int = 0) -> dict[str, str]:
    """Returns the attributes as texts; `best` learns the best source of each field that they tell.

    `later` is added to the ranks.
    """
    return walk_by(plan_of(attributes, tables), attributes, best, later)


def walk_by(plan: Plan, attributes: Attributes, best: Best, later: int = 0) -> dict[str, str]:
    """Does the same for attributes whose plan is there."""
    values = dict(attributes)
    attrs: dict[str, Any] = values.copy()
    for name, value in values.items():
        if type(value) is not str:
            attrs[name] = text_of(value)
    for field, sources in plan.fields:
        for name, rank, convert in sources:
            taken = attrs[name] if convert is None else convert(values[name])
            if taken is not None and taken != "":
                best[field] = (rank + later, taken, name)
                break
    for name in plan.secret:
        attrs[name] = MASK
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
