"""OTLP bodies: counted before they are parsed, spans without a usable id left out, too large ones split."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from schemas.record import MAX_RECORD_BYTES
from streams.bridge import otlp_json, wire
from streams.bridge.answer import JSON, PROTOBUF, Answer, Refused
from streams.bridge.limits import MIB, Limits

RECORD_BYTES = MAX_RECORD_BYTES - MIB
"""Of one record's value; the rest is room for its key, its headers and Kafka's own framing."""

PARSED_BYTES = MIB
"""At most so much is parsed at once: what is parsed takes up to thirty times as much memory."""

UNCOUNTED_BYTES = PARSED_BYTES // 2
"""A smaller body is counted when it is parsed: it cannot hold enough to take more than 50 MB."""

SPAN_FIELDS = 100_000
"""Of a span that is larger than what is parsed at once: its attributes, events and links."""

BAD_TRACE_ID = "trace_id must be 16 bytes and not all zero"
BAD_SPAN_ID = "span_id must be 8 bytes and not all zero"
TOO_LARGE = f"a span with its resource may take {RECORD_BYTES} bytes"
TOO_DENSE = f"a span may have {SPAN_FIELDS} attributes, events and links"

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is taken of a body: one record, the bytes that came, unless spans are left out or one record cannot hold it."""

    records: tuple[bytes, ...]
    spans: int
    rejected: Counter[str]
    """reason -> number of spans that are left out"""


def accept(body: bytes, limits: Limits, *, is_json: bool) -> Accepted:
    """Returns what is taken of an ExportTraceServiceRequest.

    Raises:
        Refused: 400 when it cannot be decoded, 413 when more is in it than is allowed.

    """
    try:
        return _accept_json(body, limits) if is_json else _accept_protobuf(body, limits)
    except (wire.Malformed, DecodeError) as error:
        raise Refused(
            400,
            f"the body is no ExportTraceServiceRequest in protobuf: {error}; if it is JSON, send content-type application/json",
        ) from None
    except wire.TooMany as error:
        raise Refused(413, f"the body holds {error}; send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)") from None


def _accept_protobuf(body: bytes, limits: Limits) -> Accepted:
    groups = wire.groups(body, limits.spans) if len(body) > UNCOUNTED_BYTES else None
    accepted = _as_it_came(body, limits.spans) if len(body) <= PARSED_BYTES else None
    return accepted or _selected(body, groups or wire.groups(body, limits.spans))


def _as_it_came(body: bytes, most: int) -> Accepted | None:
    """Nearly every body: one record, nothing wrong with it; None when some span has no usable id."""
    count = 0
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
                    return None
                count += 1
            if count > most:
                raise wire.TooMany(f"more than {most} spans")
    return Accepted((body,) if count else (), count, Counter())


def _selected(body: bytes, groups: list[wire.Group]) -> Accepted:
    """The slow way: span by span, on the bytes."""
    rejected: Counter[str] = Counter()
    count = 0
    for group in groups:
        shared = len(group.resource) + len(group.scope) + wire.ENVELOPE
        if shared > PARSED_BYTES:
            raise Refused(413, f"a resource and its scope take {shared} bytes; they may take {PARSED_BYTES}")
        kept = []
        for span in group.spans:
            if fault := _fault(body, span, shared):
                rejected[fault] += 1
            else:
                kept.append(span)
        group.spans = kept
        count += len(kept)
    for piece in wire.pieces(
        body, groups, 2 * PARSED_BYTES
    ):  # half of it is spans: what they share is not parsed for each
        ExportTraceServiceRequest.FromString(piece)
    return Accepted(_records(body, groups, changed=bool(rejected)) if count else (), count, rejected)


def _fault(body: bytes, span: wire.Span, shared: int) -> str:
    """What is wrong with a span, empty when nothing is."""
    here, start, stop = span
    if shared + stop - here > RECORD_BYTES:
        return TOO_LARGE
    if (
        stop - start > PARSED_BYTES
        and sum(1 for _ in islice(wire.fields(body, start, stop), SPAN_FIELDS + 1)) > SPAN_FIELDS
    ):
        return TOO_DENSE
    trace_id, span_id = wire.span_ids(body, start, stop)
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return BAD_TRACE_ID
    return "" if len(span_id) == 8 and span_id != _NO_SPAN else BAD_SPAN_ID


def _records(body: bytes, groups: list[wire.Group], *, changed: bool) -> tuple[bytes, ...]:
    if not changed and len(body) <= RECORD_BYTES:
        return (body,)
    return tuple(wire.pieces(body, [group for group in groups if group.spans], RECORD_BYTES))


def _accept_json(body: bytes, limits: Limits) -> Accepted:
    containers = body.count(b"{") + body.count(b"[")
    if containers > limits.json_containers:
        raise Refused(
            413,
            f"the JSON holds {containers} objects and arrays, at most {limits.json_containers} are taken; send smaller batches, or protobuf",
        )
    try:
        document = orjson.loads(body)
        batches = otlp_json.batches(document)
    except (orjson.JSONDecodeError, otlp_json.Misshapen) as error:
        raise Refused(400, f"the body is no ExportTraceServiceRequest in JSON: {error}") from None
    return Accepted(*otlp_json.select(body, batches, limits.spans, RECORD_BYTES))


def answer(rejected: Counter[str], *, is_json: bool) -> Answer:
    """Returns the 200 of an export, with partial success when spans were left out."""
    number = rejected.total()
    if is_json:
        partial = {"partialSuccess": {"rejectedSpans": str(number), "errorMessage": _told(rejected)}} if number else {}
        return Answer(200, JSON, orjson.dumps(partial))
    response = ExportTraceServiceResponse()
    if number:
        response.partial_success.rejected_spans = number
        response.partial_success.error_message = _told(rejected)
    return Answer(200, PROTOBUF, response.SerializeToString())


def _told(rejected: Counter[str]) -> str:
    def parts() -> Iterator[str]:
        for reason, number in sorted(rejected.items()):
            yield f"{number} {'span' if number == 1 else 'spans'} left out: {reason}"

    return "; ".join(parts())
