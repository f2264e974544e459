"""A whole trace as one subject: the root's input and output, the context known first, numbers summed, its spans as a list. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from schemas.otlp.cut import cut_text
from schemas.otlp.once import once
from schemas.span import Span, TraceChunk
from schemas.subject import Subject, error_message, numbers_of

TEXT_BYTES = 4096
"""What the input and the output of one span in the list may take."""
MOST_SPANS = 500
LIST_BYTES = 1024 * 1024
"""What the whole list may take: later spans lose their texts first."""

_FIRST_KNOWN = ("agent", "agent_version", "session_id", "customer_id", "environment")


def subject_of_trace(chunk: TraceChunk) -> Subject:
    """Returns a trace as a subject; the chunk holds all of its spans, each once.

    The root is the span without a parent that began first, or without one the span that began first.
    """
    spans = sorted(chunk.spans, key=lambda span: (span.start_time, span.span_id))
    root = min(spans, key=lambda span: bool(span.parent_span_id))
    texts = {name: text for name, text in (("input", root.input), ("output", root.output)) if text is not None}
    return Subject(
        project=chunk.project,
        kind="trace",
        subject_id=chunk.trace_id,
        trace_id=chunk.trace_id,
        span_name=root.name,
        span_kind=root.kind,
        tags=tuple(dict.fromkeys(tag for span in spans for tag in span.tags)),
        attributes=root.attrs,
        numbers=_numbers(root, spans),
        fields=orjson.dumps({**texts, "spans": _listed(spans)}),
        dialect=root.dialect,
        error_message=error_message(root),
        **{name: _known(name, (root, *spans)) for name in _FIRST_KNOWN},
    )


def _known(name: str, spans: Iterable[Span]) -> str:
    return next((value for span in spans if (value := getattr(span, name))), "")


def _numbers(root: Span, spans: Sequence[Span]) -> dict[str, float]:
    """What was used, summed over calls that are told once, and how long it took from the root's begin to the last end."""
    numbers: dict[str, float] = {}
    for span in once(spans):
        for name, value in numbers_of(span).items():
            numbers[name] = numbers.get(name, 0.0) + value
    end = max(span.start_time + span.duration_us for span in spans)
    return {**numbers, "duration_ms": (end - root.start_time) / 1000, "error": float(root.status == "error")}


def _listed(spans: Sequence[Span]) -> list[Mapping[str, Any]]:
    """At most `MOST_SPANS` of the spans, in the order in which they began; the last one tells how many were left out."""
    listed: list[Mapping[str, Any]] = []
    room = LIST_BYTES
    for span in spans[:MOST_SPANS]:
        one = _told(span)
        size = len(orjson.dumps(one))
        if size > room:
            one = {name: value for name, value in one.items() if name not in ("input", "output")} | {"cut": True}
            size = len(orjson.dumps(one))
        room -= size
        listed.append(one)
    left_out = len(spans) - len(listed)
    return [*listed, {"left_out": left_out}] if left_out else listed


def _told(span: Span) -> dict[str, Any]:
    told = {
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "agent": span.agent,
        "tool": span.tool_name,
        "model": span.model,
        "start_time": span.start_time,
        "duration_ms": span.duration_us / 1000,
        "status": span.status,
        "status_message": shortened(span.status_message),
        "input": shortened(span.input),
        "output": shortened(span.output),
    }
    return {name: value for name, value in told.items() if value not in ("", None)}


def shortened(text: str | None) -> str | None:
    """Returns the text of one span as the list holds it."""
    return None if text is None else cut_text(text, TEXT_BYTES)[0]
