"""The dialects' tables compiled into one: what each attribute tells about a span."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from schemas.otlp.conversation import answered, asked
from schemas.otlp.dialects import DIALECTS, OPERATION_NAMES, PROVIDERS, STANDARD_FIRST
from schemas.otlp.dialects.gen_ai import GEN_AI, GEN_AI_1_36
from schemas.otlp.dialects.otel import OTEL
from schemas.otlp.dialects.table import Dialect, Source
from schemas.otlp.dialects.vedette import VEDETTE
from schemas.otlp.raw import Value, text_of

Converter = Callable[[Value], Any]
"""Returns what a field takes from an attribute's value; None when the value says nothing."""


class Target(NamedTuple):
    """A field that an attribute fills."""

    field: str
    rank: int
    """among the field's sources; the lowest that says something wins"""
    convert: Converter | None
    """None: the value as text"""


class Plan(NamedTuple):
    """What attributes of these names may tell: it is worked out once, since instrumentations write the same names again and again."""

    fields: tuple[tuple[str, tuple[tuple[str, int, Converter | None], ...]], ...]
    """(field, its sources: attribute, rank and converter, the best first)"""
    secret: tuple[str, ...]
    """attributes that hold a secret by their name"""
    place: int
    """of the first dialect that knows one of the names as its marker, among all"""
    dialect: str
    """its name"""
    chars: int
    """characters of all names together"""
    longest: int
    """characters of the longest name"""


@dataclass(frozen=True)
class Tables:
    """Everything the dialects say, by attribute."""

    targets: Mapping[str, tuple[Target, ...]]
    scopes: Mapping[str, tuple[int, str]]
    """instrumentation scope -> the dialect's place and name"""
    markers: Sequence[tuple[str, int, str]]
    """(attribute, the dialect's place, its name), in order of precedence"""
    message_events: Mapping[str, tuple[str, str]]
    content_events: frozenset[str]
    named_by_span: frozenset[str]
    unnamed_scopes: frozenset[str]
    client_scopes: frozenset[str]
    exception_is_error: frozenset[str]
    plans: dict[tuple[str, ...], Plan] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """by the names of attributes: those that were worked out lately"""


def compiled(dialects: Sequence[Dialect] = DIALECTS) -> Tables:
    """Returns one table for dialects in order of precedence."""
    targets: dict[str, list[Target]] = {}
    for rank, (field, attribute, convert) in enumerate([*_sources(dialects), *_kinds(dialects)]):
        name, pointer, path = attribute.partition("#")
        taken = _pointed(path.split("/")[1:], convert or text_of) if pointer else convert
        targets.setdefault(name, []).append(Target(field, rank, taken))
    return Tables(
        targets={attribute: tuple(held) for attribute, held in targets.items()},
        scopes={scope: (place, d.name) for place, d in enumerate(dialects) for scope in d.scopes},
        markers=tuple((marker, place, d.name) for place, d in enumerate(dialects) for marker in d.markers),
        message_events={name: to for d in reversed(dialects) for name, to in d.message_events.items()},
        content_events=frozenset(name for d in dialects for name in d.content_events),
        named_by_span=frozenset(d.name for d in dialects if d.named_by_span),
        unnamed_scopes=frozenset(scope for d in dialects for scope in d.unnamed_scopes),
        client_scopes=frozenset(scope for d in dialects for scope in d.client_scopes),
        exception_is_error=frozenset(d.name for d in dialects if d.exception_is_error),
    )


def _sources(dialects: Sequence[Dialect]) -> Iterable[tuple[str, str, Converter | None]]:
    standard_first = sorted(dialects, key=_standard_first)
    for field in dict.fromkeys(field for d in dialects for field in d.fields if field not in _MESSAGES.values()):
        for dialect in standard_first if field in STANDARD_FIRST else dialects:
            for source in (_MESSAGES[field], field) if field in _MESSAGES else (field,):
                for attribute in dialect.fields.get(source, ()):
                    yield source, attribute, _converter(field, attribute, dialects)
    for attribute in (name for dialect in dialects for name in dialect.message_lists):
        yield "input", attribute, asked
        yield "output", attribute, answered


_MESSAGES: dict[Source, Source] = {"input": "input_messages", "output": "output_messages"}
"""They are ranked among the sources of the field that they may become, each before its dialect's own."""


def _standard_first(dialect: Dialect) -> int:
    return 0 if dialect is VEDETTE else 1 if dialect in (GEN_AI, GEN_AI_1_36, OTEL) else 2


def _kinds(dialects: Sequence[Dialect]) -> Iterable[tuple[str, str, Converter]]:
    for dialect in dialects:
        for attribute, by_value in dialect.kinds.items():
            yield "kind", attribute, _lookup(by_value)
    for dialect in dialects:
        for attribute, kind in dialect.implied_kinds.items():
            yield "kind", attribute, _always(kind)


def _converter(field: str, attribute: str, dialects: Sequence[Dialect]) -> Converter | None:
    unknown: frozenset[str] = frozenset().union(*(d.placeholders.get(attribute, ()) for d in dialects))
    convert = _BY_FIELD.get(field)
    return _unless(unknown, convert or text_of) if unknown else convert


def _unless(unknown: frozenset[str], convert: Converter) -> Converter:
    return lambda value: None if isinstance(value, str) and value in unknown else convert(value)


MAX_COUNT = 2**53
"""Sums of a few counts still fit into 64 bits, and every count into a float."""


def count(value: Value) -> int | None:
    """Returns a number of tokens or an ordinal, from a number or its digits."""
    if isinstance(value, str):
        return int(value) if len(value) < 19 and value.isascii() and value.isdigit() else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else -1
    return value if type(value) is int and 0 <= value < MAX_COUNT else None


def amount(value: Value) -> float | None:
    """Returns a sum of money, from a number or its digits."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def flag(value: Value) -> bool | None:
    """Returns a truth value, also from the words true and false."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def labels(value: Value) -> tuple[str, ...] | None:
    """Returns tags from an array, the JSON text of one, or a list with commas."""
    if isinstance(value, str):
        value = _json_array(value) or [part.strip() for part in value.split(",")]
    if not isinstance(value, list):
        return None
    return tuple(dict.fromkeys(tag for tag in value if isinstance(tag, str) and tag)) or None


def _json_array(text: str) -> list[Value] | None:
    if not text.startswith("["):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None


POINTED_LIMIT = 64 * 1024
"""characters of JSON in which a pointer is looked up; longer texts say nothing"""


def _pointed(path: Sequence[str], convert: Converter) -> Converter:
    def found(value: Value) -> Any:
        value = _parsed(value) if isinstance(value, str) and len(value) <= POINTED_LIMIT else value
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return None if value is None else convert(value)

    return found


@lru_cache(maxsize=16)
def _parsed(text: str) -> Value:
    """Several pointers look into one text, one after the other. Nobody changes what is returned."""
    try:
        return orjson.loads(text)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError:
        return text


def _provider(value: Value) -> str | None:
    name = value.lower() if isinstance(value, str) else ""
    return PROVIDERS.get(name, name) or None


def _operation(value: Value) -> str | None:
    return OPERATION_NAMES.get(value, value) or None if isinstance(value, str) else None


def _lookup(by_value: Mapping[str, str]) -> Converter:
    return lambda value: by_value.get(value.lower()) if isinstance(value, str) else None


def _always(kind: str) -> Converter:
    return lambda value: kind if value else None


_BY_FIELD: dict[str, Converter] = {
    "agent_entry": flag,
    "cached_input_tokens": count,
    "cache_write_input_tokens": count,
    "cost_usd": amount,
    "input_tokens": count,
    "operation": _operation,
    "output_tokens": count,
    "provider": _provider,
    "reasoning_output_tokens": count,
    "revision": count,
    "tags": labels,
    "uncached_input_tokens": count,
    "visible_output_tokens": count,
}

TABLES = compiled()
"""All dialects that we know."""
