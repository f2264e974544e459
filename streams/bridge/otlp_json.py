"""OTLP in JSON: the same three levels; ids are hex."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from streams.bridge.wire import TooMany

BAD_TRACE_ID = "traceId must be 32 hex digits and not all zero"
BAD_SPAN_ID = "spanId must be 16 hex digits and not all zero"
TOO_LARGE = "a span with its resource may take {} bytes"

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-fA-F]{16}")


class Misshapen(ValueError):
    """The JSON is not of OTLP's shape."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of the three levels of an export."""

    outer: str
    middle: str
    inner: str


OF_SPANS = Shape("resourceSpans", "scopeSpans", "spans")
OF_LOGS = Shape("resourceLogs", "scopeLogs", "logRecords")


@dataclass(slots=True)
class Batch:
    """The spans, or log records, of one scope, with the members that surround them."""

    shape: Shape
    resource: dict[str, Any]
    scope: dict[str, Any]
    spans: list[dict[str, Any]]

    def document(self, spans: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns a member of the outer level that holds these spans."""
        return {**self.resource, self.shape.middle: [{**self.scope, self.shape.inner: spans}]}


def batches(document: object, shape: Shape = OF_SPANS) -> list[Batch]:
    """Returns the spans of a request by scope.

    Raises:
        Misshapen: a level is no array of objects.

    """
    found = []
    for resource in _objects(document, shape.outer, "the body"):
        for scope in _objects(resource, shape.middle, f"a member of {shape.outer}"):
            spans = _objects(scope, shape.inner, f"a member of {shape.middle}")
            found.append(Batch(shape, _without(resource, shape.middle), _without(scope, shape.inner), spans))
    return found


def _objects(parent: object, name: str, where: str) -> list[dict[str, Any]]:
    if not isinstance(parent, dict):
        raise Misshapen(f"{where} must be an object")
    members = parent.get(name)
    if members is None:
        return []
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise Misshapen(f"{name} must be an array of objects")
    return members


def _without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def select(
    body: bytes, found: list[Batch], most: int, record_bytes: int, *, changed: bool = False
) -> tuple[tuple[bytes, ...], int, Counter[str]]:
    """Returns the records to write, the number of their spans, and why others are left out.

    `changed` says that the body holds more than `found`.

    Raises:
        TooMany: there are more than `most` spans.

    """
    if sum(len(batch.spans) for batch in found) > most:
        raise TooMany(f"more than {most} spans")
    rejected: Counter[str] = Counter()
    for batch in found:
        batch.spans = list(_usable(batch, record_bytes if len(body) > record_bytes else 0, rejected))
    kept = sum(len(batch.spans) for batch in found)
    if not kept:
        return (), 0, rejected
    unchanged = not rejected and not changed and len(body) <= record_bytes
    records = (body,) if unchanged else tuple(_pieces(found, record_bytes))
    return records, kept, rejected


def _usable(batch: Batch, record_bytes: int, rejected: Counter[str]) -> Iterator[dict[str, Any]]:
    for span in batch.spans:
        if not _matches(_TRACE_ID, span.get("traceId")):
            rejected[BAD_TRACE_ID] += 1
        elif not _matches(_SPAN_ID, span.get("spanId")):
            rejected[BAD_SPAN_ID] += 1
        elif record_bytes and _size(batch, [span]) > record_bytes:
            rejected[TOO_LARGE.format(record_bytes)] += 1
        else:
            yield span


def _matches(form: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and form.fullmatch(text) is not None


def _size(batch: Batch, spans: list[dict[str, Any]]) -> int:
    return len(_request([], batch, spans)) + 1


def _pieces(found: Iterable[Batch], limit: int) -> Iterator[bytes]:
    """Requests of at most `limit` bytes."""
    held: list[dict[str, Any]] = []
    size = 0
    for batch in found:
        shared = _size(batch, [])
        run: list[dict[str, Any]] = []
        for span in batch.spans:
            length = len(orjson.dumps(span)) + 1
            if size + (0 if run else shared) + length > limit and (held or run):
                yield _request(held, batch, run)
                held, run, size = [], [], 0
            size += length + (0 if run else shared)
            run.append(span)
        if run:
            held.append(batch.document(run))
    if held:
        yield orjson.dumps({batch.shape.outer: held})


def _request(held: list[dict[str, Any]], batch: Batch, run: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({batch.shape.outer: [*held, batch.document(run)] if run or not held else held})
