"""Records for people: which of them somebody asked for, and one line each."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from schemas.alert import AlertChange
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.later import LaterRequest
from schemas.record import Record
from schemas.request import ScoreRequest
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk

Filters = Mapping[str, str]
"""Wanted values by the name of the field: project, agent, trace_id, scorer, outcome, rule."""


def unknown(cls: type[Record], filters: Filters) -> list[str]:
    """Returns the fields that no record of this class has, nor what it carries."""
    return [name for name in filters if not any(name in one.model_fields for one in (cls, *_parts(cls)))]


def _parts(cls: type[Record]) -> Iterator[type[Record]]:
    """The classes of the records that stand in fields of a record."""
    for info in cls.model_fields.values():
        for inner in (info.annotation, *get_args(info.annotation)):
            if isinstance(inner, type) and issubclass(inner, Record):
                yield inner


def passes(record: Record, filters: Filters) -> bool:
    """Tells whether a record, or something that it carries, has each of these values."""
    return all(value in _values(record, name) for name, value in filters.items())


def _values(record: Record, name: str) -> Iterator[Any]:
    if name in type(record).model_fields:
        yield getattr(record, name)
    for field in type(record).model_fields:
        inner = getattr(record, field)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(part, Record) and name in type(part).model_fields:
                yield getattr(part, name)


def lines(record: Record, time_ms: int, filters: Filters) -> list[str]:
    """Returns a record as lines: one, or of a trace chunk one for each span that was asked for."""
    told = _TELLERS[type(record)](record, filters)
    return ["  ".join([_clock(time_ms), *filter(None, map(_flat, parts))]) for parts in told]


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def _flat(part: object) -> str:
    text = " ".join(str(part).split()) if part not in (None, "") else ""
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


_WIDTH = 200
"""Characters of one part: a reason may be long."""

Parts = tuple[object, ...]


def _chunk(chunk: TraceChunk, filters: Filters) -> list[Parts]:
    agent = filters.get("agent")
    return [
        (chunk.project, span.kind, span.name, span.agent, f"{span.duration_us / 1000:.0f} ms", span.status,
         "partial" if span.partial else "", f"{chunk.trace_id}:{span.span_id}")
        for span in chunk.spans
        if agent in (None, span.agent)
    ]  # fmt: skip


def _example(example: Example, _: Filters) -> list[Parts]:
    asked = ",".join(ref.scorer for ref in example.scorers)
    return [(example.project, example.agent, example.example_id, asked, example.fields.decode(errors="replace"))]


def _request(request: ScoreRequest, _: Filters) -> list[Parts]:
    subjects = [
        (pair.scorer, request.subjects[pair.subject]) for pair in request.pairs if pair.subject < len(request.subjects)
    ]
    return [(request.project, scorer, one.kind, one.subject_id, one.agent) for scorer, one in subjects]


def _later(later: LaterRequest, _: Filters) -> list[Parts]:
    return [(later.project, later.state, later.scorer, f"{later.tries} tries", later.reason)]


def _score(score: Score, _: Filters) -> list[Parts]:
    value = "" if score.value is None else f"{score.value:g}"
    return [(score.project, score.outcome, score.scorer, value, score.agent, score.subject_id, score.reason)]


def _rule_event(event: RuleEvent, _: Filters) -> list[Parts]:
    what = event.command.action if event.command else f"{sum(one.matched for one in event.evaluated)} matched"
    return [(event.project, event.rule, event.group_key, what, *(one.subject_id for one in event.evaluated[:3]))]


def _alert(change: AlertChange, _: Filters) -> list[Parts]:
    return [(change.project, change.severity, change.kind, change.rule, change.group_key, change.cause)]


def _delivery(entry: Delivery, _: Filters) -> list[Parts]:
    return [(entry.project, entry.state, entry.destination, entry.recipient, entry.rule, entry.reason)]


def _item(item: DatasetItem, _: Filters) -> list[Parts]:
    what = "removed" if item.removed else "added"
    return [(item.project, item.dataset, what, item.subject_kind, item.subject_id, item.added_by)]


_TELLERS: Mapping[type[Record], Callable[[Any, Filters], list[Parts]]] = {
    TraceChunk: _chunk,
    Example: _example,
    ScoreRequest: _request,
    LaterRequest: _later,
    Score: _score,
    RuleEvent: _rule_event,
    AlertChange: _alert,
    Delivery: _delivery,
    DatasetItem: _item,
}
