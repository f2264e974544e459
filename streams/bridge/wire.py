"""Protobuf's wire format, as far as the bridge reads it itself: the three levels around spans, never their attributes.

A request is read here before it is parsed: two bytes of body can become a hundred times as many in memory, so what a body
holds is counted first, and spans are moved between requests as the bytes they came in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

RESOURCE_SPANS, SCOPE_SPANS, SPANS = 1, 2, 2
"""Field numbers in ExportTraceServiceRequest, ResourceSpans and ScopeSpans."""
TRACE_ID, SPAN_ID = 1, 2
"""Field numbers in Span."""


class Malformed(ValueError):
    """The bytes are no protobuf message."""


class TooMany(ValueError):
    """There is more in the message than was allowed."""


Span = tuple[int, int, int]
"""Where a span stands in the body: start of its field, start of its bytes, end of both."""


@dataclass(slots=True)
class Group:
    """The spans of one scope: where they stand in the body, and the bytes that every one of them shares."""

    resource: bytes
    """the other fields of its ResourceSpans"""
    scope: bytes = b""
    """the other fields of its ScopeSpans"""
    spans: list[Span] = field(default_factory=list)


def varint(number: int) -> bytes:
    """Returns a number as a base-128 varint."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields number, start of the field, start of the value and end of every field; a number is negative when the field holds no bytes.

    Raises:
        Malformed: a length points outside, or a wire type does not exist (groups are not taken).

    """
    at = start
    try:
        while at < end:
            here = at
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _varint(data, here)
            kind = tag & 7
            if kind == 2:
                length = data[at]
                at += 1
                if length > 127:
                    length, at = _varint(data, at - 1)
                value, at = at, at + length
                yield tag >> 3, here, value, at
            else:
                at = _skip(data, at, kind)
                yield -(tag >> 3), here, here, at
    except IndexError:
        raise Malformed("it ends within a field") from None
    if at != end:
        raise Malformed(f"a field reaches to byte {at} of {end}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise Malformed("a varint is longer than 10 bytes")


def _skip(data: bytes, at: int, kind: int) -> int:
    if kind == 0:
        return _varint(data, at)[1]
    if kind == 1:
        return at + 8
    if kind == 5:
        return at + 4
    raise Malformed(f"wire type {kind}")


def groups(body: bytes, most: int) -> list[Group]:
    """Returns the spans of an ExportTraceServiceRequest by scope, in the order of the body.

    Raises:
        Malformed: the bytes are no such message.
        TooMany: resources, scopes and spans are more than `most` together; the rest is not looked at.

    """
    found: list[Group] = []
    left = most
    for number, _, start, end in fields(body, 0, len(body)):
        left = _spend(left, most)
        if number != RESOURCE_SPANS:
            continue
        inner: list[tuple[int, int]] = []
        resource: list[bytes] = []
        for inner_number, here, inner_start, inner_end in fields(body, start, end):
            left = _spend(left, most)
            if inner_number == SCOPE_SPANS:
                inner.append((inner_start, inner_end))
            else:
                resource.append(body[here:inner_end])
        shared = b"".join(resource)
        for inner_start, inner_end in inner or [(end, end)]:
            group = Group(shared)
            left = _scope(body, inner_start, inner_end, group, left, most)
            found.append(group)
    return found


def _scope(body: bytes, start: int, end: int, group: Group, left: int, most: int) -> int:
    rest: list[bytes] = []
    spans = group.spans
    for number, here, value, stop in fields(body, start, end):
        left -= 1
        if left < 0:
            raise TooMany(f"more than {most} spans, scopes and resources")
        if number == SPANS:
            spans.append((here, value, stop))
        else:
            rest.append(body[here:stop])
    group.scope = b"".join(rest)
    return left


def _spend(left: int, most: int) -> int:
    if not left:
        raise TooMany(f"more than {most} spans, scopes and resources")
    return left - 1


def span_ids(body: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Returns trace id and span id of the span that stands there; the last of several counts.

    Raises:
        Malformed: the bytes are no message.

    """
    trace_id = span_id = b""
    for number, _, value, stop in fields(body, start, end):
        if number == TRACE_ID:
            trace_id = body[value:stop]
        elif number == SPAN_ID:
            span_id = body[value:stop]
    return trace_id, span_id


def request(body: bytes, parts: Iterable[Group]) -> bytes:
    """Returns an ExportTraceServiceRequest of these spans, each as the bytes it came in."""
    out: list[bytes] = []
    for part in parts:
        spans = b"".join(body[here:stop] for here, _, stop in part.spans)
        scope = part.scope + spans
        inner = part.resource + b"\x12" + varint(len(scope)) + scope
        out += (b"\n", varint(len(inner)), inner)
    return b"".join(out)


def pieces(body: bytes, parts: Iterable[Group], limit: int) -> Iterator[bytes]:
    """Yields requests of at most `limit` bytes that hold all spans in order; a span that is larger with what it shares stands alone."""
    batch: list[Group] = []
    size = 0
    for part in parts:
        shared = len(part.resource) + len(part.scope) + ENVELOPE
        current = Group(part.resource, part.scope)
        if batch and size + shared > limit:
            yield request(body, batch)
            batch, size = [], 0
        batch.append(current)
        size += shared
        for span in part.spans:
            length = span[2] - span[0]
            if size + length > limit and size > shared:
                yield request(body, batch if current.spans else batch[:-1])
                current = Group(part.resource, part.scope)
                batch, size = [current], shared
            current.spans.append(span)
            size += length
    if batch:
        yield request(body, batch)


ENVELOPE = 24
"""At most so many bytes of tags and lengths stand around the spans of one scope."""
