"""What the bridge reads in the headers of a request, and what of it becomes headers of records."""

import re
from collections.abc import Mapping
from typing import Any

from streams.bridge.answer import Refused
from streams.bridge.rsgi import Headers

Fields = Headers | Mapping[str, str]
"""Headers of HTTP, or gRPC's metadata."""

Marks = list[tuple[str, bytes]]

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context: version, trace id, span id, flags."""


def header(headers: Fields, name: str) -> str:
    """Returns a header, empty when there is none.

    Raises:
        Refused: 400, it is there and is not ASCII.

    """
    value: Any = headers.get(name)
    if value is None and name in headers:
        raise Refused(400, f"the header {name} must be ASCII; percent-encode other characters")
    return value or ""


def marks_of(headers: Fields, project: str, content_type: str) -> Marks:
    """Returns the headers of the records that a request becomes; a `traceparent` of another form is left out."""
    marks = [("vedette-project", project.encode()), ("content-type", content_type.encode())]
    traceparent = headers.get("traceparent") or ""
    if TRACEPARENT.fullmatch(traceparent):
        marks.append(("traceparent", traceparent.encode()))
    return marks


def content_type_of(headers: Headers, *taken: str) -> str:
    """Returns the content type without its parameters.

    Raises:
        Refused: 415, it is none of those that are taken.

    """
    kind: str = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in taken:
        raise Refused(415, f"content-type {kind!r} is not taken; send {' or '.join(taken)}")
    return kind


def encoding_of(headers: Headers) -> str:
    """Returns the content encoding, empty when none is told."""
    encoding: str = headers.get("content-encoding", "")
    return encoding.strip().lower()
