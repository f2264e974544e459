"""The canary: one span in a project of its own, with the scorer, the rule and the destination that it goes by."""

import os
import time
from dataclasses import dataclass
from typing import Any

import orjson

PROJECT = "canary"
NAME = "canary"
SAYS = "alive"
ADDRESS = "canary@vedette.example"


def documents(host: str, port: int) -> list[dict[str, Any]]:
    """Returns what the project `canary` is configured with; its alerts are mailed to the watcher's own server.

    The rule asks two conditions of the canary's trace, so that it goes through every job of the way. Each canary fires: no cooldown.
    """
    scorer = {
        "type": "contains",
        "with": {"field": "output", "any": [SAYS]},
        "threshold": 0.5,
        "online": [{"target": "span"}],
    }
    conditions = [{"scorer": NAME, "is": "succeeds"}, {"metric": "error", "op": "==", "value": 0}]
    rule = {
        "when": {"all": conditions}, "times": 1, "within": "1s", "cooldown": "0s", "resolve_after": "10s", "severity": "info",
        "actions": [{"notify": NAME}],
    }  # fmt: skip
    smtp = {"host": host, "port": port, "tls": "none"}
    destination = {"type": "email", "to": [ADDRESS], "from": ADDRESS, "smtp": smtp, "digest_above": 1000}
    specs = {"Scorer": scorer, "Destination": destination, "Rule": rule}
    metadata = {"name": NAME, "project": PROJECT, "description": "made by vedette watch; tells nobody"}
    return [
        {"apiVersion": "vedette/v1", "kind": kind, "metadata": metadata, "spec": spec} for kind, spec in specs.items()
    ]


@dataclass(frozen=True)
class Canary:
    """One span, alone in its trace."""

    trace_id: str
    span_id: str
    at_ns: int

    def otlp(self) -> bytes:
        """Returns the body of an OTLP export in JSON."""
        attributes = {"gen_ai.agent.name": NAME, "gen_ai.operation.name": "chat", "gen_ai.output.messages": _said()}
        span = {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "name": NAME,
            "kind": 3,
            "startTimeUnixNano": str(self.at_ns - 1_000_000),
            "endTimeUnixNano": str(self.at_ns),
            "attributes": [{"key": name, "value": {"stringValue": text}} for name, text in attributes.items()],
        }
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "vedette-watch"}}]}
        return orjson.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})


def hatched() -> Canary:
    """Returns a new canary."""
    return Canary(os.urandom(16).hex(), os.urandom(8).hex(), time.time_ns())


def _said() -> str:
    message = {"role": "assistant", "parts": [{"type": "text", "content": SAYS}], "finish_reason": "stop"}
    return orjson.dumps([message]).decode()
