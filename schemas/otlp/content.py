"""Content in log events: the messages of a call to a model, told apart from its span.

Up to version 1.36 of the GenAI conventions every message is an event of its own (`gen_ai.user.message`, …, `gen_ai.choice`) with the
message as its body; since 1.37 there is one, `gen_ai.client.inference.operation.details`, with the messages as attributes. Both become
messages in the form of 1.37: `{"role", "parts": [{"type": "text", "content"} | {"type": "tool_call", …} | …], "finish_reason"?}`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from schemas.contents import ContentEvent
from schemas.otlp.cut import TEXT_LIMIT, cut_text
from schemas.otlp.mask import mask
from schemas.otlp.raw import RawLog, RawSpan, Value
from schemas.otlp.tables import TABLES, Tables
from schemas.otlp.walk import Best, walk
from schemas.span import Span

DETAILS = "gen_ai.client.inference.operation.details"

SCOPES = frozenset(
    {
        "opentelemetry.instrumentation.openai_v2",
        "opentelemetry.instrumentation.vertexai",
        "opentelemetry.instrumentation.google_genai",
        "opentelemetry.instrumentation.botocore.bedrock-runtime",
        "opentelemetry.util.genai.handler",
        "@opentelemetry/instrumentation-openai",
        "@elastic/opentelemetry-instrumentation-openai",
        "io.opentelemetry.openai-java-1.1",
    }
)
"""Instrumentation scopes whose content may come in log events."""

_FAMILY = "opentelemetry.instrumentation.genai."
"""The scopes of OpenTelemetry's newer instrumentations of models all begin so."""

_MAX_LONG = 2**63 - 1


def told_in_logs(raw: RawSpan, span: Span) -> bool:
    """Returns whether a span's content may still come in log events: a finished call to a model that says nothing itself."""
    if raw.scope not in SCOPES and not raw.scope.startswith(_FAMILY):
        return False
    return span.kind == "llm" and span.input is None and span.output is None and not span.partial


def is_content(name: str, tables: Tables = TABLES) -> bool:
    """Returns whether events of this name tell a span's content."""
    return name == DETAILS or name in tables.message_events


def content_events(logs: Iterable[RawLog], tables: Tables = TABLES) -> Iterator[tuple[str, ContentEvent]]:
    """Yields trace id and content of every event that tells some, with secrets masked and long texts cut."""
    for position, log in enumerate(logs):
        to = tables.message_events.get(log.name)
        if to is not None:
            yield log.trace_id, _of_message(log, position, *to)
        elif log.name == DETAILS:
            yield log.trace_id, _of_details(log, position, tables)


def _of_message(log: RawLog, position: int, field: str, role: str) -> ContentEvent:
    said = message(log.body, role)
    silent = not any(_says(part) for part in said["parts"])
    try:
        text = _safe(orjson.dumps(said).decode())
    except orjson.JSONEncodeError:  # JSON within it nests deeper than can be written
        text = _safe(
            orjson.dumps({"role": said["role"], "parts": [{"type": "text", "content": str(log.body)}]}).decode()
        )
    return ContentEvent(
        span_id=log.span_id,
        time=min(log.time_ns, _MAX_LONG),
        position=position,
        input=text if field == "input" else None,
        output=text if field == "output" else None,
        silent=silent,
    )


def _of_details(log: RawLog, position: int, tables: Tables) -> ContentEvent:
    best: Best = {}
    further = list(log.body.items()) if isinstance(log.body, dict) else []
    walk([*log.attributes, *further], best, tables)
    texts = {field: _safe(str(best[field][1])) for field in ("input", "output") if field in best}
    return ContentEvent(
        span_id=log.span_id,
        time=min(log.time_ns, _MAX_LONG),
        position=position,
        input=texts.get("input"),
        output=texts.get("output"),
        whole=True,
        silent=not texts,
    )


def _safe(text: str) -> str:
    return cut_text(mask(text), TEXT_LIMIT)[0]


def message(body: Value, role: str) -> dict[str, Any]:
    """Returns the body of a message event as a message in the form of 1.37.

    >>> message({"content": "hello"}, "user")
    {'role': 'user', 'parts': [{'type': 'text', 'content': 'hello'}]}
    """
    told = _object(body)
    inner = _object(told.get("message")) if "message" in told else told
    content = inner.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": inner.get("id")}
        parts = [answer if content is None else {**answer, "response": content}]
    else:
        calls = inner.get("tool_calls") or told.get("tool_calls")
        asked = [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        parts = [*_parts(content), *asked]
    made: dict[str, Any] = {"role": inner.get("role") or role, "parts": parts}
    if "finish_reason" in told:
        made["finish_reason"] = told["finish_reason"]
    return made


def _object(value: Value) -> dict[str, Any]:
    """Bodies are objects, JSON text of one, or the message's text itself."""
    if isinstance(value, str):
        parsed = _parsed(value)
        return parsed if isinstance(parsed, dict) else {"content": value}
    return value if isinstance(value, dict) else {}


def _parts(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):  # Google's: {"role", "parts": [{"text"}]}
        content = content.get("parts", [content])
    for item in content if isinstance(content, list) else [content]:
        text = item.get("text") if isinstance(item, dict) else item
        if isinstance(text, str) and text:
            yield {"type": "text", "content": text}
        elif isinstance(item, dict):
            yield item


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = _object(call.get("function")) or call
    made = {"type": "tool_call", "id": call.get("id"), "name": function.get("name")}
    arguments = function.get("arguments")
    return made if arguments is None else {**made, "arguments": _parsed(arguments)}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _says(part: dict[str, Any]) -> bool:
    """Whether something of the message was recorded; without content capture only ids and names are."""
    return any(part.get(name) is not None for name in part if name not in ("type", "id", "name"))
