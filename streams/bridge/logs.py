"""Logs: an application that reports here sends all of its own. What tells a span's content is kept, the rest is let go at once."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from schemas.otlp.content import is_content
from schemas.otlp.raw import EVENT_NAME
from streams.bridge import metrics, otlp_json, wire
from streams.bridge.answer import JSON, PROTOBUF, Answer, Refused
from streams.bridge.limits import Limits
from streams.bridge.otlp import PARSED_BYTES, RECORD_BYTES, SPAN_FIELDS, UNCOUNTED_BYTES, Accepted

MARK = b"gen_ai."
"""What every name of an event begins with that tells content: a body without it is let go unseen."""

BAD_TRACE_ID = "trace_id must be 16 bytes"
BAD_SPAN_ID = "span_id must be 8 bytes and not all zero"
TOO_LARGE = f"a log record with its resource may take {RECORD_BYTES} bytes"
TOO_DENSE = f"a log record may have {SPAN_FIELDS} attributes"

NAME_BYTES = 256
"""No name of an event takes more."""
NOTHING = Accepted((), 0, Counter())

_ATTRIBUTES, _TRACE_ID, _SPAN_ID, _EVENT_NAME = 6, 9, 10, 12
"""Field numbers in LogRecord; the levels around it have those of spans."""
_NAMED = b"\n" + bytes([len(EVENT_NAME)]) + EVENT_NAME.encode()
"""How the attribute that names an event begins."""


def accept(body: bytes, limits: Limits, *, is_json: bool) -> Accepted:
    """Returns what is kept of an ExportLogsServiceRequest: the events that tell what a span's call to a model said.

    An event without a span is let go as any other log record; `rejected` are those whose ids are none.

    Raises:
        Refused: 400 when it cannot be decoded, 413 when more is in it than is allowed.

    """
    try:
        return _json(body, limits) if is_json else _protobuf(body, limits)
    except (wire.Malformed, DecodeError) as error:
        raise Refused(
            400,
            f"the body is no ExportLogsServiceRequest in protobuf: {error}; if it is JSON, send content-type application/json",
        ) from None
    except wire.TooMany as error:
        raise Refused(413, f"the body holds {error}; send smaller batches (OTEL_BLRP_MAX_EXPORT_BATCH_SIZE)") from None


def _protobuf(body: bytes, limits: Limits) -> Accepted:
    if len(body) <= UNCOUNTED_BYTES and MARK not in body:
        request = ExportLogsServiceRequest.FromString(body)
        metrics.LOGS_LET_GO.inc(
            sum(len(scope.log_records) for one in request.resource_logs for scope in one.scope_logs)
        )
        return NOTHING
    return _selected(body, wire.groups(body, limits.spans))


def _selected(body: bytes, groups: list[wire.Group]) -> Accepted:
    rejected: Counter[str] = Counter()
    sent = sum(len(group.spans) for group in groups)
    for group in groups:
        shared = len(group.resource) + len(group.scope) + wire.ENVELOPE
        telling = [record for record in group.spans if _tells(body, record)]
        if telling and shared > PARSED_BYTES:
            raise Refused(413, f"a resource and its scope take {shared} bytes; they may take {PARSED_BYTES}")
        group.spans = []
        for record in telling:
            if fault := _fault(body, record, shared):
                rejected[fault] += 1
            else:
                group.spans.append(record)
    groups = [group for group in groups if group.spans]
    kept = sum(len(group.spans) for group in groups)
    metrics.LOGS_LET_GO.inc(sent - kept - rejected.total())
    for piece in wire.pieces(body, groups, 2 * PARSED_BYTES):  # as spans are: what records share is not parsed for each
        ExportLogsServiceRequest.FromString(piece)
    unchanged = kept == sent > 0 and len(body) <= RECORD_BYTES
    records = (body,) if unchanged else tuple(wire.pieces(body, groups, RECORD_BYTES))
    return Accepted(records, kept, rejected)


def _tells(body: bytes, record: wire.Span) -> bool:
    """Whether a record is an event of a span, and one that tells content."""
    _, start, stop = record
    if body.find(MARK, start, stop) < 0:
        return False
    name, has_trace = "", False
    for number, _, value, end in islice(wire.fields(body, start, stop), SPAN_FIELDS):
        if number == _EVENT_NAME:
            name = body[value:end].decode(errors="replace")
        elif number == _TRACE_ID:
            has_trace = any(body[value:end])
        elif number == _ATTRIBUTES and not name and end - value <= NAME_BYTES and body.startswith(_NAMED, value):
            name = KeyValue.FromString(body[value:end]).value.string_value
    return has_trace and is_content(name)


def _fault(body: bytes, record: wire.Span, shared: int) -> str:
    """What is wrong with an event, empty when nothing is."""
    here, start, stop = record
    if shared + stop - here > RECORD_BYTES:
        return TOO_LARGE
    ids = {_TRACE_ID: b"", _SPAN_ID: b""}
    for count, (number, _, value, end) in enumerate(wire.fields(body, start, stop)):
        if count == SPAN_FIELDS:
            return TOO_DENSE
        if number in ids:
            ids[number] = body[value:end]
    if len(ids[_TRACE_ID]) != 16:
        return BAD_TRACE_ID
    return "" if len(ids[_SPAN_ID]) == 8 and any(ids[_SPAN_ID]) else BAD_SPAN_ID


def _json(body: bytes, limits: Limits) -> Accepted:
    containers = body.count(b"{") + body.count(b"[")
    if containers > limits.json_containers:
        raise Refused(
            413,
            f"the JSON holds {containers} objects and arrays, at most {limits.json_containers} are taken; send smaller batches, or protobuf",
        )
    try:
        found = otlp_json.batches(orjson.loads(body), otlp_json.OF_LOGS)
    except (orjson.JSONDecodeError, otlp_json.Misshapen) as error:
        raise Refused(400, f"the body is no ExportLogsServiceRequest in JSON: {error}") from None
    sent = sum(len(batch.spans) for batch in found)
    for batch in found:
        batch.spans = [record for record in batch.spans if _tells_json(record)]
    let_go = sent - sum(len(batch.spans) for batch in found)
    metrics.LOGS_LET_GO.inc(let_go)
    return Accepted(*otlp_json.select(body, found, limits.spans, RECORD_BYTES, changed=let_go > 0))


def _tells_json(record: dict[str, Any]) -> bool:
    name = record.get("eventName") or next(_names(record.get("attributes")), "")
    trace_id = record.get("traceId")
    has_trace = isinstance(trace_id, str) and trace_id.strip("0") != ""
    return has_trace and isinstance(name, str) and is_content(name)


def _names(attributes: object) -> Iterator[object]:
    for attribute in attributes if isinstance(attributes, list) else ():
        if isinstance(attribute, dict) and attribute.get("key") == EVENT_NAME:
            value = attribute.get("value")
            yield value.get("stringValue") if isinstance(value, dict) else None


def answer(rejected: Counter[str], *, is_json: bool) -> Answer:
    """Returns the 200 of an export of logs, with partial success when events were left out."""
    number = rejected.total()
    told = "; ".join(f"log records left out: {count}, {reason}" for reason, count in sorted(rejected.items()))
    if is_json:
        partial = {"partialSuccess": {"rejectedLogRecords": str(number), "errorMessage": told}} if number else {}
        return Answer(200, JSON, orjson.dumps(partial))
    response = ExportLogsServiceResponse()
    if number:
        response.partial_success.rejected_log_records = number
        response.partial_success.error_message = told
    return Answer(200, PROTOBUF, response.SerializeToString())
