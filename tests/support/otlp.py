"""Spans as a plain HTTP client sends them: OTLP in JSON, ids chosen by the test."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.support.system import attributes

SPAN_MS = 5


@dataclass(frozen=True)
class Reply:
    """A span in which an agent calls a model and gets this text."""

    trace_id: str
    span_id: str
    text: str
    agent: str = "CustomerServiceAgent"
    ended_ns: int = 0
    """0: now"""

    @property
    def subject_id(self) -> str:
        return f"{self.trace_id}:{self.span_id}"

    def as_otlp(self) -> dict[str, Any]:
        """Returns it as an element of `spans`."""
        end = self.ended_ns or time.time_ns()
        return {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "name": "chat gpt-5-mini",
            "kind": 3,
            "startTimeUnixNano": str(end - SPAN_MS * 1_000_000),
            "endTimeUnixNano": str(end),
            "attributes": [
                {"key": key, "value": {"stringValue": value}}
                for key, value in attributes(self.agent, self.text).items()
            ],
        }


def export(spans: Iterable[dict[str, Any]]) -> bytes:
    """Returns the body of an export of spans of one resource."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def export_of(replies: Iterable[Reply]) -> bytes:
    """Returns the body of an export of replies."""
    return export(reply.as_otlp() for reply in replies)
