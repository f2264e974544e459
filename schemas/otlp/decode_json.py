"""The JSON form of an export: hex ids, enums by number or name, int64 as text or number, unknown fields ignored.

Protobuf's own JSON mapping is not used: it takes ids for base64, and it is slow.
"""

import math
from collections.abc import Iterator
from typing import Any

import orjson

from schemas.codec import Undecodable
from schemas.otlp.raw import Attributes, Export, RawEvent, RawLog, RawSpan, Value, bad_id, event_name, parent_of

_STATUS = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_MAX_DEPTH = 64
_MAX_UINT64 = 2**64 - 1
_HEX = frozenset("0123456789abcdef")


def decode_json(body: bytes) -> Export:
    """Returns the spans of an export request in JSON.

    Raises:
        Undecodable: the bytes are no JSON, or a field is not of its type.
    """
    request = _request(body, "ExportTraceServiceRequest")
    export = Export([], [], {})
    for group in _objects(request, "resourceSpans", "resource_spans"):
        export.resources.append(_attributes(_object(group, "resource")))
        for scoped in _objects(group, "scopeSpans", "scope_spans"):
            scope = _text(_object(scoped, "scope"), "name")
            for span in _objects(scoped, "spans"):
                _add(export, span, scope)
    return export


def decode_json_logs(body: bytes) -> list[RawLog]:
    """Returns the events of spans that are in an export of logs in JSON.

    Raises:
        Undecodable: the bytes are no JSON, or a field is not of its type.
    """
    request = _request(body, "ExportLogsServiceRequest")
    scopes = (
        s for g in _objects(request, "resourceLogs", "resource_logs") for s in _objects(g, "scopeLogs", "scope_logs")
    )
    return list(_logs(record for scoped in scopes for record in _objects(scoped, "logRecords", "log_records")))


def _logs(records: Iterator[dict[str, Any]]) -> Iterator[RawLog]:
    for record in records:
        trace_id, span_id = _id(record, "traceId", "trace_id"), _id(record, "spanId", "span_id")
        if bad_id(trace_id, span_id) is not None:
            continue
        attributes = _attributes(record)
        name = event_name(_text(record, "eventName", "event_name"), attributes)
        if name:
            seen = _nanoseconds(record, "observedTimeUnixNano", "observed_time_unix_nano")
            time_ns = _nanoseconds(record, "timeUnixNano", "time_unix_nano") or seen
            yield RawLog(trace_id, span_id, name, time_ns, _value(record.get("body"), 0), attributes)


def _request(body: bytes, message: str) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"not JSON: {error} ({len(body)} bytes)") from error
    if not isinstance(request, dict):
        raise Undecodable(f"not an {message}: no JSON object")
    return request


def _add(export: Export, span: dict[str, Any], scope: str) -> None:
    trace_id, span_id = _id(span, "traceId", "trace_id"), _id(span, "spanId", "span_id")
    reason = bad_id(trace_id, span_id)
    if reason is not None:
        export.dropped[reason] = export.dropped.get(reason, 0) + 1
        return
    status = _object(span, "status")
    export.spans.append(
        RawSpan(
            trace_id,
            span_id,
            parent_of(_id(span, "parentSpanId", "parent_span_id")),
            _text(span, "name"),
            _nanoseconds(span, "startTimeUnixNano", "start_time_unix_nano"),
            _nanoseconds(span, "endTimeUnixNano", "end_time_unix_nano"),
            _status(status.get("code")),
            _text(status, "message"),
            _attributes(span),
            [_event(event) for event in _objects(span, "events")],
            scope,
            len(export.resources) - 1,
        )
    )


def _event(event: dict[str, Any]) -> RawEvent:
    return RawEvent(_text(event, "name"), _nanoseconds(event, "timeUnixNano", "time_unix_nano"), _attributes(event))


def _attributes(holder: dict[str, Any], depth: int = 0) -> Attributes:
    return [(_text(pair, "key"), _value(pair.get("value"), depth)) for pair in _objects(holder, "attributes")]


def _value(value: Any, depth: int) -> Value:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Undecodable(f"an attribute's value is {_shown(value)}, no AnyValue object")
    if depth > _MAX_DEPTH:
        raise Undecodable(f"an attribute's value is nested more than {_MAX_DEPTH} deep")
    for name, inner in value.items():
        read = _READERS.get(name)
        if read is not None and inner is not None:
            return read(inner, depth)
    return None


def _string(value: Any, _: int) -> str:
    if not isinstance(value, str):
        raise Undecodable(f"a stringValue is {_shown(value)}")
    return value


def _bool(value: Any, _: int) -> bool:
    if not isinstance(value, bool):
        raise Undecodable(f"a boolValue is {_shown(value)}")
    return value


def _int(value: Any, _: int) -> int:
    number = _integer(value)
    if number is None or not -(2**63) <= number < 2**63:
        raise Undecodable(f"an intValue is {_shown(value)}")
    return number


def _double(value: Any, _: int) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return math.nan if value == "NaN" else math.inf if value == "Infinity" else -math.inf
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Undecodable(f"a doubleValue is {_shown(value)}")
    try:
        return float(value)
    except ValueError as error:
        raise Undecodable(f"a doubleValue is {_shown(value)}") from error


def _array(value: Any, depth: int) -> list[Value]:
    if not isinstance(value, dict):
        raise Undecodable(f"an arrayValue is {_shown(value)}")
    return [_value(item, depth + 1) for item in _list(value, "values")]


def _kvlist(value: Any, depth: int) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise Undecodable(f"a kvlistValue is {_shown(value)}")
    return {_text(pair, "key"): _value(pair.get("value"), depth + 1) for pair in _objects(value, "values")}


_READERS = {  # bytes stay the base64 they were sent in
    name: read
    for names, read in (
        (("stringValue", "string_value", "bytesValue", "bytes_value"), _string),
        (("boolValue", "bool_value"), _bool),
        (("intValue", "int_value"), _int),
        (("doubleValue", "double_value"), _double),
        (("arrayValue", "array_value"), _array),
        (("kvlistValue", "kvlist_value"), _kvlist),
    )
    for name in names
}


def _get(holder: dict[str, Any], *names: str) -> Any:
    return next((holder[name] for name in names if holder.get(name) is not None), None)


def _list(holder: dict[str, Any], *names: str) -> list[Any]:
    found = _get(holder, *names)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Undecodable(f"{names[0]} is {_shown(found)}, no array")
    return found


def _objects(holder: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    found = _list(holder, *names)
    for item in found:
        if not isinstance(item, dict):
            raise Undecodable(f"{names[0]} holds {_shown(item)}, no object")
    return found


def _object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Undecodable(f"{name} is {_shown(found)}, no object")
    return found


def _text(holder: dict[str, Any], *names: str) -> str:
    found = _get(holder, *names)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Undecodable(f"{names[0]} is {_shown(found)}, no text")
    return found


def _id(holder: dict[str, Any], *names: str) -> str:
    found = _text(holder, *names).lower()
    return found if _HEX.issuperset(found) else ""


def _nanoseconds(holder: dict[str, Any], *names: str) -> int:
    found = _get(holder, *names)
    number = 0 if found is None else _integer(found)
    if number is None or not 0 <= number <= _MAX_UINT64:
        raise Undecodable(f"{names[0]} is {_shown(found)}, no 64-bit number of nanoseconds")
    return number


def _status(code: Any) -> int:
    number = _STATUS.get(code, 0) if isinstance(code, str) else _integer(code)
    return number if number in (1, 2) else 0


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        digits = value[1:] if value[:1] == "-" else value
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None
    return value if isinstance(value, int) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
