"""What a field says, taken out of the envelope in which instrumentations and providers keep it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.subject import Subject

_UNSAID = ("system", "developer")
"""Roles whose messages are instructions: nobody said them in the conversation."""
_CALLS = ("tool_call", "server_tool_call", "function_call", "tool_use", "tool-call")
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_DEEPEST = 8


@dataclass
class Said:
    """The words of a field, and what its envelope tells beside them."""

    texts: list[str] = field(default_factory=list)
    """in order: texts of messages, refusals and results of tools"""
    calls: list[str] = field(default_factory=list)
    """the arguments of the tools that were called"""
    refusals: list[str] = field(default_factory=list)
    """texts that the provider itself marked as a refusal"""
    finish_reasons: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Returns all texts, a line break between two."""
        return "\n".join(self.texts)


def said(subject: Subject, name: str) -> Said | None:
    """Returns what a field says, or None when the subject lacks it. A text without an envelope says itself."""
    text = subject.text(name)
    return None if text is None else unpacked(text)


def unpacked(text: str) -> Said:
    """Returns what a text says: the words of the messages in it, whichever form they have, else the text itself.

    Known are lists of messages (OpenTelemetry, OpenAI, Anthropic, Vercel, LangChain), the responses of OpenAI (chat and
    responses), Anthropic and Gemini, and any of them as quoted JSON text.
    """
    value = as_json(text)
    for _ in range(2):  # instrumentations quote a text that is JSON already
        if not isinstance(value, str):
            break
        text, value = value, as_json(value)
    messages = _messages(value)
    if messages is None:
        return Said([text])
    found = Said()
    try:
        for message in messages:
            _hear(message, found)
    except orjson.JSONEncodeError:  # a part nests deeper than can be written
        return Said([text])
    return found


def as_json(text: str) -> Any:
    """Returns the JSON value that a text is, or None."""
    if text[:1] not in '{["' and text.lstrip()[:1] not in '{["':
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _messages(value: Any, depth: int = 0) -> list[dict[str, Any]] | None:
    """The messages of an envelope, or None when a value is none."""
    if isinstance(value, list):
        known = bool(value) and all(isinstance(one, dict) and "role" in one for one in value)
        return value if known else None
    if not isinstance(value, dict) or depth == _DEEPEST:
        return None
    if isinstance(value.get("choices"), list):
        return [_choice(one) for one in value["choices"] if isinstance(one, dict)]
    if isinstance(value.get("candidates"), list):
        return [_choice(one, "content") for one in value["candidates"] if isinstance(one, dict)]
    if isinstance(value.get("output"), list) and "status" in value:  # OpenAI's responses
        return [one for one in value["output"] if isinstance(one, dict)]
    if "role" in value and ("content" in value or "parts" in value):
        return [value]
    return _messages(value.get("messages"), depth + 1)


def _choice(choice: dict[str, Any], within: str = "message") -> dict[str, Any]:
    message = choice.get(within)
    return {**choice, **message} if isinstance(message, dict) else choice


def _hear(message: dict[str, Any], found: Said) -> None:
    if message.get("role") in _UNSAID:
        return
    for key in ("finish_reason", "stop_reason", "finishReason"):
        if isinstance(reason := message.get(key), str):
            found.finish_reasons.append(reason)
    if isinstance(nested := message.get("message"), str | dict):  # an event `gen_ai.choice`
        inner = as_json(nested) if isinstance(nested, str) else nested
        message = {**message, **inner} if isinstance(inner, dict) else {**message, "content": nested}
    if "role" not in message and message.get("type") != "message":
        _part(message, found)
        return
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        _part({"type": "refusal", "refusal": refusal}, found)
    for part in _parts(message):
        _part(part, found)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        _call(call, found)


def _parts(message: dict[str, Any]) -> Iterable[Any]:
    content = message.get("parts") if message.get("parts") is not None else message.get("content")
    return content if isinstance(content, list) else () if content is None else (content,)


def _part(part: Any, found: Said) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _THOUGHTS:
        return
    if kind in _CALLS or (isinstance(part, dict) and ("functionCall" in part or "function_call" in part)):
        _call(part, found)
        return
    text = _text(part)
    if kind == "refusal" and text:
        found.refusals.append(text)
    if text:
        found.texts.append(text)


def _text(part: Any) -> str:
    """The words of a part; what is neither text nor a result (an image, a file) has none."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    for key in ("text", "content", "refusal", "response", "result", "output"):
        if (value := part.get(key)) is not None:
            return value if isinstance(value, str) else orjson.dumps(value).decode()
    return ""


def _call(call: Any, found: Said) -> None:
    if not isinstance(call, dict):
        return
    inner = call.get("function") or call.get("functionCall") or call.get("function_call") or call
    for key in ("arguments", "input", "args"):
        if isinstance(inner, dict) and (value := inner.get(key)) is not None:
            found.calls.append(value if isinstance(value, str) else orjson.dumps(value).decode())
            return
    found.calls.append("")
