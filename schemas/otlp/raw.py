"""The plain form of an OTLP export, whatever it was encoded in: what `decode` makes and `canonical` walks once."""

from typing import NamedTuple, TypeAlias

import orjson

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
Attributes: TypeAlias = list[tuple[str, Value]]


class RawEvent(NamedTuple):
    """One span event."""

    name: str
    time_ns: int
    attributes: Attributes


class RawSpan(NamedTuple):
    """One span as it was sent; ids are lower-case hex, times nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_span_id: str
    """empty for a root"""
    name: str
    start_ns: int
    end_ns: int
    status: int
    """0 unset, 1 ok, 2 error"""
    status_message: str
    attributes: Attributes
    events: list[RawEvent]
    scope: str
    """name of the instrumentation scope"""
    resource: int
    """index into the export's resources"""


class RawLog(NamedTuple):
    """One log record that is a named event of a span."""

    trace_id: str
    span_id: str
    name: str
    time_ns: int
    """when it happened, else when it was seen"""
    body: Value
    attributes: Attributes


EVENT_NAME = "event.name"
"""The attribute that named an event before log records had a field for it."""


def event_name(name: str, attributes: Attributes) -> str:
    """Returns the name of a log record that is an event, else empty text."""
    return name or next((text_of(value) for key, value in attributes if key == EVENT_NAME), "")


class Export(NamedTuple):
    """All of one export."""

    spans: list[RawSpan]
    resources: list[Attributes]
    dropped: dict[str, int]
    """reason -> number of spans that were left out"""


def bad_id(trace_id: str, span_id: str) -> str | None:
    """Returns why a span cannot be identified, or None: ids are 32 and 16 hex digits and not all zero."""
    if len(trace_id) != 32 or not trace_id.strip("0"):
        return "bad_trace_id"
    if len(span_id) != 16 or not span_id.strip("0"):
        return "bad_span_id"
    return None


def parent_of(parent_span_id: str) -> str:
    """Returns the parent's id, or empty text when there is none or it is no span id."""
    return parent_span_id if len(parent_span_id) == 16 and parent_span_id.strip("0") else ""


def text_of(value: Value) -> str:
    """Returns an attribute's value as text: JSON unless it is a text already, empty when there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
